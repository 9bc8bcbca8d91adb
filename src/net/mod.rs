//! Names, addresses and sockets.
