"""Requests and answers on the wire, to and from the domain.

A request's content type chooses the format (`content_types`), what is in it chooses the form (`forms`, one a file);
`decoder` reads, `encoder` writes.
"""
