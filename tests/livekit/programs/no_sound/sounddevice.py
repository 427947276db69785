"""In place of the package, which needs the library PortAudio: typing needs no sound."""
