"""Speed and accuracy beside a named peer in the same run; same shape as the cases."""
