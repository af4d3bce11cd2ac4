"""What llama.cpp's converter should write of a configuration, and a GGUF header as bytes."""
