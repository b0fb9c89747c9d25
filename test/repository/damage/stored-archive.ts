import {
  isoOfMicros,
  lsnOf,
  microsOfIso,
  type StoredSegment,
  type Timeline,
} from '../../../model/archive.ts';
import { putSegment, putTimeline, putTimelineEnd } from '../../../repository/archive/archive.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import type { Store } from '../../../repository/store.ts';
import type { Dice } from '../../crash/dice.ts';
import { begin, commit, insert, relation, remove, update } from '../../ysql/archive/pgoutput.ts';

/** An archive without a database: messages as PostgreSQL writes them, in segments as the format says. */

export const ARCHIVE = { plan: 'ysql', database: 'shop' } as const;
const FROM = microsOfIso('2026-11-30T03:00:00.000000Z');
const OID = 16_400;

export const TIMELINE: Timeline = {
  formatVersion: 1,
  id: '20261130T030000000Z-0000000000000100',
  ...ARCHIVE,
  systemIdentifier: '1',
  databaseOid: 1,
  slot: 'holdfast_x',
  plugin: 'pgoutput',
  publication: 'holdfast_x',
  serverVersion: '15.18',
  tables: [{ table: 'public.orders', identity: 'default' }],
  notArchived: [],
  startLsn: lsnOf(0x100n),
  createdAt: isoOfMicros(FROM),
  snapshotXids: '10:10:',
  schemaFingerprint: 'f',
};

/** What one segment is made of; `putWritten` stores it with the header, the name and the checksums that fit. */
export interface Written {
  readonly start: number;
  readonly end: number;
  readonly messages: readonly Buffer[];
  readonly transactions: number;
  readonly minMicros: number;
  readonly maxMicros: number;
}

/** Segments that follow each other. */
export function writtenSegments(dice: Dice, count: number): readonly Written[] {
  let lsn = 0x100;
  let id = 0;
  let xid = 10;
  return Array.from({ length: count }, (): Written => {
    const start = lsn;
    const messages: Buffer[] = [
      relation(OID, 'public', 'orders', [{ name: 'id', isKey: true }, { name: 'note' }]),
    ];
    const times: number[] = [];
    const transactions = 1 + Math.floor(dice.between(0, 3));
    for (let each = 0; each < transactions; each += 1) {
      const commitLsn = BigInt(lsn + 8);
      lsn += 8 + Math.floor(dice.between(8, 64));
      const micros = FROM + lsn * 1_000 + Math.floor(dice.between(0, 500));
      times.push(micros);
      messages.push(begin(commitLsn, BigInt(micros), xid++));
      for (let row = 0; row < 1 + Math.floor(dice.between(0, 3)); row += 1) {
        const key = String(id++);
        messages.push(insert(OID, [key, 'new']));
        if (dice.chance(0.5)) messages.push(update(OID, [key, 'changed']));
        if (dice.chance(0.2)) messages.push(remove(OID, [key, null]));
      }
      messages.push(commit(commitLsn, BigInt(lsn), BigInt(micros)));
    }
    return {
      ...{ start, end: lsn, messages, transactions },
      ...{ minMicros: Math.min(...times), maxMicros: Math.max(...times) },
    };
  });
}

export async function putWritten(store: Store, written: Written): Promise<StoredSegment> {
  const range = {
    startLsn: lsnOf(BigInt(written.start)),
    endLsn: lsnOf(BigInt(written.end)),
  };
  const header = {
    formatVersion: 1,
    timeline: TIMELINE.id,
    ...range,
    transactions: written.transactions,
    messages: written.messages.length,
  };
  const frames = written.messages.map((message) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return Buffer.concat([length, message]);
  });
  const body = compressFrame(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...frames]), 1);
  return putSegment(
    store,
    ARCHIVE,
    TIMELINE.id,
    { ...range, minCommitMicros: written.minMicros, maxCommitMicros: written.maxMicros },
    body,
  );
}

/** An archive that has ended, so that the loss of its last segment can be seen. */
export async function putArchive(
  store: Store,
  segments: readonly Written[],
): Promise<readonly StoredSegment[]> {
  await putTimeline(store, TIMELINE);
  const stored: StoredSegment[] = [];
  for (const written of segments) stored.push(await putWritten(store, written));
  await putTimelineEnd(store, ARCHIVE, {
    formatVersion: 1,
    timeline: TIMELINE.id,
    lsn: lsnOf(BigInt(segments.at(-1)?.end ?? 0x100)),
    endedAt: '2026-11-30T04:00:00.000Z',
    code: 'removed',
    reason: 'The plan has no archive of changes any more.',
  });
  return stored;
}
