"""Stand-ins and scenarios that tests and bench share: what plays the outside, and what happens to it.

It imports no test. What only one test needs stays beside that test.
"""
