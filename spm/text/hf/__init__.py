"""The stages of Hugging Face tokenizers, one file for each kind of component."""
