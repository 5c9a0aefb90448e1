/**
 * The metadata message that OBS Studio 30 sends before its media: its bytes, written out by hand, and what they mean.
 *
 * Two strings and an ECMA array of 20 members. OBS writes the count exactly, the flags of channel layouts have dots in
 * their keys, and the file size has a capital S.
 */
import * as AmfValue from "../../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"

export const bytes: Uint8Array = Bytes.fromHex(`
  02000d40736574446174614672616d65
  02000a6f6e4d65746144617461
  0800000014
  00086475726174696f6e 000000000000000000
  000866696c6553697a65 000000000000000000
  00057769647468 00409e000000000000
  0006686569676874 004090e00000000000
  000c766964656f636f6465636964 00401c000000000000
  000d766964656f6461746172617465 0040b7700000000000
  00096672616d6572617465 00404e000000000000
  000c617564696f636f6465636964 004024000000000000
  000d617564696f6461746172617465 004064000000000000
  000f617564696f73616d706c6572617465 0040e7700000000000
  000f617564696f73616d706c6573697a65 004030000000000000
  000d617564696f6368616e6e656c73 004000000000000000
  000673746572656f 0101
  0003322e31 0100
  0003332e31 0100
  0003342e30 0100
  0003342e31 0100
  0003352e31 0100
  0003372e31 0100
  0007656e636f646572 0200296f62732d6f7574707574206d6f64756c6520286c69626f62732076657273696f6e2033302e322e3029
  000009
`)

export const values: ReadonlyArray<AmfValue.AmfValue> = [
  "@setDataFrame",
  "onMetaData",
  AmfValue.ecmaArray({
    duration: 0,
    fileSize: 0,
    width: 1920,
    height: 1080,
    videocodecid: 7,
    videodatarate: 6000,
    framerate: 60,
    audiocodecid: 10,
    audiodatarate: 160,
    audiosamplerate: 48000,
    audiosamplesize: 16,
    audiochannels: 2,
    stereo: true,
    "2.1": false,
    "3.1": false,
    "4.0": false,
    "4.1": false,
    "5.1": false,
    "7.1": false,
    encoder: "obs-output module (libobs version 30.2.0)"
  })
]
