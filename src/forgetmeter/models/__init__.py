"""Loading models, and knowing what their weight matrices do."""
