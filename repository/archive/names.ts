import type { SegmentName, StoredSegment } from '../../model/archive.ts';
import type { StoredProof } from '../../model/archive-proof.ts';
import { defined } from '../../model/defined.ts';
import { checkedPart } from '../key.ts';
import { ARCHIVE_FOLDER, LEASE_PART } from '../layout.ts';

/** Where an archive of changes lies; see "The archive of changes" in docs/repository-format.md. */

/** `archive/<plan>/` */
export function planArchiveFolder(plan: string): string {
  return `${ARCHIVE_FOLDER}${checkedPart(plan)}/`;
}

/** `archive/<plan>/decode.mjs` */
export function decoderKey(plan: string): string {
  return `${planArchiveFolder(plan)}decode.mjs`;
}

/** `archive/<plan>/<database>/`, the name percent-encoded. A database's name has at most 63 bytes, so a part of a key can hold it. */
export function databaseArchiveFolder({ plan, database }: ArchiveId): string {
  return `${planArchiveFolder(plan)}${encodedName(database)}/`;
}

export interface ArchiveId {
  readonly plan: string;
  readonly database: string;
}

function encodedName(name: string): string {
  // A part of a key must not be `.` or `..`, and `decode.mjs` and the lease have names of their own.
  return checkedPart(encodeURIComponent(name).replaceAll('.', '%2E'));
}

export function decodedName(part: string): string {
  return decodeURIComponent(part);
}

/** `archive/<plan>/<database>/lease/` */
export function archiveLeaseFolder(id: ArchiveId): string {
  return `${databaseArchiveFolder(id)}${LEASE_PART}/`;
}

export function archiveLeaseKey(id: ArchiveId, number: number): string {
  return `${archiveLeaseFolder(id)}${String(number).padStart(12, '0')}.json`;
}

/** `archive/<plan>/<database>/<timeline>/` */
export function timelineFolder(id: ArchiveId, timeline: string): string {
  return `${databaseArchiveFolder(id)}${checkedPart(timeline)}/`;
}

export function timelineKey(id: ArchiveId, timeline: string): string {
  return `${timelineFolder(id, timeline)}timeline.json`;
}

export function timelineEndKey(id: ArchiveId, timeline: string): string {
  return `${timelineFolder(id, timeline)}end.json`;
}

/** @param sha256 of the part's stored bytes. */
export function partKey(id: ArchiveId, timeline: string, sha256: string): string {
  return `${timelineFolder(id, timeline)}parts/${sha256}.zst`;
}

export function segmentKey(id: ArchiveId, timeline: string, segment: SegmentName): string {
  const stem = segmentStem(id, timeline, segment);
  return `${stem}-${segment.sha256Start}${segment.isInParts ? '.parts.json' : '.zst'}`;
}

/** A segment's key up to its hash: what its signature is for, since the hash is that of the signed bytes. */
export function segmentStem(
  id: ArchiveId,
  timeline: string,
  segment: Omit<SegmentName, 'sha256Start' | 'isInParts'>,
): string {
  const { startLsn, endLsn, minCommitMicros, maxCommitMicros } = segment;
  const range = `${startLsn}-${endLsn}-${padded(minCommitMicros)}-${padded(maxCommitMicros)}`;
  return `${timelineFolder(id, timeline)}s-${range}`;
}

/** The same of a stored segment. */
export function stemOf({ key, sha256Start }: StoredSegment): string {
  return key.slice(0, key.lastIndexOf(`-${sha256Start}`));
}

const SEGMENT = /\/s-([0-9A-F]{16})-([0-9A-F]{16})-(\d{16})-(\d{16})-([0-9a-f]{16})\.(zst|parts\.json)$/;

/** Undefined where the key isn't that of a segment. */
export function parseSegmentKey(key: string, sizeBytes: number): StoredSegment | undefined {
  const [, startLsn, endLsn, min, max, sha256Start, extension] = SEGMENT.exec(key) ?? [];
  const found = defined({ startLsn, endLsn, min, max, sha256Start });
  if (
    found.startLsn === undefined ||
    found.endLsn === undefined ||
    found.min === undefined ||
    found.max === undefined ||
    found.sha256Start === undefined
  ) {
    return undefined;
  }
  return {
    key,
    sizeBytes,
    startLsn: found.startLsn,
    endLsn: found.endLsn,
    minCommitMicros: Number(found.min),
    maxCommitMicros: Number(found.max),
    sha256Start: found.sha256Start,
    isInParts: extension !== 'zst',
  };
}

/** `archive/<plan>/<database>/<timeline>/proofs/` */
export function proofsFolder(id: ArchiveId, timeline: string): string {
  return `${timelineFolder(id, timeline)}proofs/`;
}

export function proofKey(id: ArchiveId, timeline: string, proof: Omit<StoredProof, 'key'>): string {
  const { fromMicros, toMicros, verdict } = proof;
  const range = `${padded(fromMicros)}-${padded(toMicros)}`;
  return `${proofsFolder(id, timeline)}${range}-${verdict.toLowerCase()}.json`;
}

const PROOF = /\/proofs\/(\d{16})-(\d{16})-(ok|failed)\.json$/;

/** Undefined where the key isn't that of a proof. */
export function parseProofKey(key: string): StoredProof | undefined {
  const [, from, to, verdict] = PROOF.exec(key) ?? [];
  if (from === undefined || to === undefined) return undefined;
  return {
    key,
    fromMicros: Number(from),
    toMicros: Number(to),
    verdict: verdict === 'ok' ? 'OK' : 'FAILED',
  };
}

function padded(micros: number): string {
  return micros.toString().padStart(16, '0');
}
