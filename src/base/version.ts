// What we say we are. Tools compare CRIU's version (LXC by its first line, go-criu over RPC), so it comes first.

/** The version of CRIU whose command line, images and RPC are spoken. */
export const CRIU_VERSION = '4.2'
export const BARDO_VERSION = '0.1.0'
