"""What `barnabas bench` measured: latencies, CPU, the report. Imports `_core` and HdrHistogram."""
