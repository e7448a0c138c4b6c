"""A campaign of damaged files and random networks against eventsim.

    corpus      seeds: small valid files of every format that is read, made by the writers of the tests
    damage      what is done to a file: bytes, members of HDF5 and .npz, values of JSON
    cases       case number n: a seed and what is done to it, or a random network; nothing but n decides
    fence       arrays that end at an unreadable page
    trials      a file is read and what loads is run; a network is compared with the reference
    server      children under limits, one after another; what becomes of them is told apart by buckets
    campaign    many cases, counted; what was found is kept and can be resumed
    minimise    fewer changes that still show the same

`python -m fuzz --help`, from the folder of the tests, and `test_fuzz.py`, with fixed seeds.
"""
