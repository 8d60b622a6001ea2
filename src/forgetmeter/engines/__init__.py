"""Other runtimes that answer items: model classes of lm-evaluation-harness, and llama.cpp in this process."""
