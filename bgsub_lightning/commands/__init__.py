"""One file, one command, one typed function; ``training.py`` holds Lightning's fit, validate, test and predict."""
