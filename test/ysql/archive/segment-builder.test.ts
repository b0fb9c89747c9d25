import fc from 'fast-check';
import { decodeHead } from '../../../engines/ysql/archive/messages.ts';
import { type ClosedSegment, SegmentBuilder } from '../../../engines/ysql/archive/segment-builder.ts';
import { lsnOf } from '../../../model/archive.ts';
import { framesOf } from '../../../repository/archive/archive.ts';
import { textOf } from '../../../repository/backups/zstd-frames.ts';

/** Microseconds since 2000, as the protocol counts them. */
const MICROS = 849_000_000_000_000n;

function begin(position: bigint, xid: number): Buffer {
  const message = Buffer.alloc(21);
  message.write('B');
  message.writeBigUInt64BE(position, 1);
  message.writeBigUInt64BE(MICROS, 9);
  message.writeUInt32BE(xid, 17);
  return message;
}

function commit(position: bigint, end: bigint): Buffer {
  const message = Buffer.alloc(26);
  message.write('C');
  message.writeBigUInt64BE(position, 2);
  message.writeBigUInt64BE(end, 10);
  message.writeBigUInt64BE(MICROS + end, 18);
  return message;
}

function ofRelation(kind: 'R' | 'I', relation: number, text: string): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeUInt32BE(relation, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

interface Transaction {
  readonly xid: number;
  readonly relations: readonly number[];
}

/** As a server sends it: a relation is described once in a connection, before its first change. */
function* stream(transactions: readonly Transaction[]): Generator<Buffer> {
  const described = new Set<number>();
  for (const { xid, relations } of transactions) {
    const position = BigInt(xid) * 100n;
    yield begin(position, xid);
    for (const relation of relations) {
      if (!described.has(relation)) yield ofRelation('R', relation, `name of ${relation}`);
      described.add(relation);
      yield ofRelation('I', relation, `row of ${xid}`);
    }
    // The record of the next commit may begin exactly where this one ends.
    yield commit(position, position + 100n);
  }
}

async function messagesOf({ frames }: ClosedSegment): Promise<readonly Buffer[]> {
  async function* text(): AsyncGenerator<Buffer> {
    yield Buffer.from('{}\n');
    for (const frame of frames) yield* textOf(frame);
  }
  const [, ...messages] = await Array.fromAsync(framesOf(text(), 'the segment'), (frame) =>
    Buffer.from(frame),
  );
  return messages;
}

const anyTransactions = fc
  .array(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((all) => all.map((relations, index) => ({ xid: index + 1, relations })));

describe('segments of a stream of changes', () => {
  it('hold each transaction once and whole, wherever they are cut and wherever the connection is lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyTransactions,
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        fc.integer({ min: 0, max: 60 }),
        async (transactions, cuts, lostAfter) => {
          const segments: ClosedSegment[] = [];
          let end = 0n;
          // The first connection is lost after some messages; what was not closed then is sent again, and more than that.
          for (const most of [lostAfter, Number.POSITIVE_INFINITY]) {
            const builder = new SegmentBuilder(end);
            let sent = 0;
            for (const message of stream(transactions)) {
              sent += 1;
              if (sent > most) break;
              const mayClose = builder.take(message, sent);
              if (mayClose && cuts[Number(builder.end / 100n) % 12] === true) {
                segments.push(builder.close());
                end = builder.end;
              }
            }
            if (most === Number.POSITIVE_INFINITY && !builder.isEmpty) segments.push(builder.close());
          }
          const xids: number[] = [];
          let before = lsnOf(0n);
          for (const segment of segments) {
            expect(segment.startLsn).toBe(before);
            before = segment.endLsn;
            const messages = await messagesOf(segment);
            expect(messages).toHaveLength(segment.messages);
            const described = new Set<number>();
            for (const message of messages) {
              const parsed = decodeHead(message);
              if (parsed.kind === 'begin') xids.push(parsed.xid);
              if (parsed.kind === 'relation') described.add(parsed.oid);
              if (parsed.kind === 'change')
                expect([...described]).toEqual(expect.arrayContaining([...parsed.oids]));
            }
            expect(decodeHead(messages.at(-1) ?? Buffer.alloc(0)).kind).toBe('commit');
          }
          expect(xids).toEqual(transactions.map(({ xid }) => xid));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('have parts of their own, though another transaction writes the same rows', async () => {
    const parts = [1, 2].map((xid) => {
      const builder = new SegmentBuilder(0n);
      builder.take(begin(BigInt(xid) * 100n, xid), 0);
      builder.take(ofRelation('R', 1, 'name of 1'), 0);
      builder.takePart();
      builder.take(ofRelation('I', 1, 'the same row'), 0);
      return Buffer.concat(builder.takePart());
    });
    const [one = Buffer.alloc(0), other = Buffer.alloc(0)] = parts;
    expect(one.equals(other)).toBe(false);
    // Whoever reads them passes over what makes them differ.
    const texts = await Promise.all(parts.map((part) => Array.fromAsync(textOf(part), String)));
    expect(texts[0]).toEqual(texts[1]);
    expect(texts[0]?.join('')).toContain('the same row');
  });

  it('take a transaction whose commit record begins exactly where the archive ends', () => {
    const builder = new SegmentBuilder(200n);
    const taken = [
      ...stream([
        { xid: 1, relations: [1] },
        { xid: 2, relations: [1] },
      ]),
    ].filter((message) => builder.take(message, 0));
    expect(taken).toHaveLength(1);
    expect(builder.close()).toMatchObject({ startLsn: lsnOf(200n), endLsn: lsnOf(300n), transactions: 1 });
  });

  it('say for an idle time that nothing was committed', () => {
    const builder = new SegmentBuilder(100n);
    expect(builder.closeIdle(150n, 7)).toMatchObject({
      startLsn: lsnOf(100n),
      endLsn: lsnOf(150n),
      minCommitMicros: 7,
      maxCommitMicros: 7,
      transactions: 0,
    });
    expect(builder.end).toBe(150n);
  });
});
