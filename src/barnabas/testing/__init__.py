"""What helps to test programs that use Barnabas, and Barnabas itself."""

import barnabas.quick_kio  # noqa: F401 (before kio)
