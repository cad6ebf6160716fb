// The codec's door: schema and state to bytes and back.
export { decode, readU32 } from './decode.ts'
export { encode, encodeEntries, encodeEntry, encodeInto, Sink } from './encode.ts'
