"""Wheels for PyPI: built with one toolchain for an old C library, checked, and described.

    python -m wheels build [--only cp312]...   dist/*.whl, from the sdist
    python -m wheels test [--only cp312]...    each in a clean environment of its interpreter
    python -m wheels rebuild [--only cp312]... each once more, elsewhere: the same bytes?
    python -m wheels smoke                     one, by this machine's compiler for this interpreter

A wheel is made for each version of Python that is installed. What is compiled is the sdist. The
compiler is clang as `ziglang` brings it from PyPI, told to link against glibc 2.28 with libc++
inside; the codecs' libraries are built from Debian's source packages by the same compiler and are
static, so that a wheel needs nothing but the C library.
"""
