"""What helps to test programs that use Barnabas, and Barnabas itself."""
