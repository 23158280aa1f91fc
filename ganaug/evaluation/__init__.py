"""What is said and drawn of samples, beyond what metrics compute."""
