"""The embedded model's making: stories, vocabulary, training, files and card."""
