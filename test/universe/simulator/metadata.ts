import { crc32 } from 'node:zlib';
import type { NamespaceState, SnapshotState } from './state.ts';
import { Failure } from './status.ts';

const MAGIC = 'yugacntr';
const FORMAT_VERSION = 1;

/** What `export_snapshot` writes; YugabyteDB has a protocol buffer (`SnapshotInfoPB`) in this container, the simulator has JSON. */
export interface SnapshotMetadata {
  readonly snapshot: Pick<SnapshotState, 'id' | 'state' | 'micros' | 'objects'>;
  readonly namespace: Pick<NamespaceState, 'id' | 'name' | 'kind' | 'colocated'>;
}

export function encodeMetadata(metadata: SnapshotMetadata): Buffer {
  const payload = Buffer.from(JSON.stringify(metadata));
  const head = Buffer.alloc(16);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(FORMAT_VERSION, 8);
  head.writeUInt32LE(payload.length, 12);
  const foot = Buffer.alloc(4);
  foot.writeUInt32LE(crc32(payload));
  return Buffer.concat([head, payload, foot]);
}

export function decodeMetadata(bytes: Buffer): SnapshotMetadata {
  if (bytes.length < 20 || bytes.toString('latin1', 0, 8) !== MAGIC) {
    throw new Failure('Runtime error', 'Corruption: Invalid magic number in container file');
  }
  const length = bytes.readUInt32LE(12);
  const payload = bytes.subarray(16, 16 + length);
  if (bytes.length !== length + 20 || crc32(payload) !== bytes.readUInt32LE(16 + length)) {
    throw new Failure('Runtime error', 'Corruption: Incorrect checksum in container file');
  }
  return JSON.parse(payload.toString('utf8')) as SnapshotMetadata;
}
