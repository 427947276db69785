"""Where other people's objects are met: endpoint tables, wrappers, streams. One module a provider.

``Any`` is at home here and nowhere below: what an SDK hands over is read and turned into values of
`aden.core` before it leaves this room.
"""
