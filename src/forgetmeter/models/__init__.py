"""Loading models and finding the roles of their weight matrices."""
