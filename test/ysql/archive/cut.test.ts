import {
  Cut,
  type CutOptions,
  formatLsn,
  formatMicros,
  type Sight,
  sightOf,
} from '../../../engines/ysql/archive/cut.ts';
import { isVisible, parseTransactionSnapshot } from '../../../model/transaction-snapshot.ts';

const T = 1_796_000_000_000_000n;

function cutAt(instant: bigint, changes: Partial<CutOptions> = {}): Cut {
  return new Cut({
    instantMicros: T + instant,
    sees: bySnapshot('100:105:100,103'),
    baseMicros: T,
    ...changes,
  });
}

function bySnapshot(xids: string): Sight {
  return sightOf({ databases: ['shop'], seenBy: '', walLsn: '', snapshotXids: { shop: xids } }, 'shop');
}

const begin = (xid: number, lsn: number, micros: number) =>
  ({ kind: 'begin', xid, commitLsn: BigInt(lsn), commitMicros: T + BigInt(micros) }) as const;

test('a snapshot sees what had ended when it was taken, whatever round the counter is in', () => {
  const snapshot = parseTransactionSnapshot('100:105:100,103');
  expect([99, 100, 101, 102, 103, 104, 105].filter((xid) => isVisible(snapshot, xid))).toEqual([
    99, 101, 102, 104,
  ]);
  const round = 4_294_967_296n;
  const later = parseTransactionSnapshot(`${round * 3n - 2n}:${round * 3n + 3n}:${round * 3n + 1n}`);
  expect([4_294_967_293, 4_294_967_295, 0, 1, 2, 3].filter((xid) => isVisible(later, xid))).toEqual([
    4_294_967_293, 4_294_967_295, 0, 2,
  ]);
  expect(() => parseTransactionSnapshot('1:2')).toThrow(
    expect.objectContaining({ code: 'ARCHIVE_SNAPSHOT' }),
  );
});

test('the first commit that is later than the instant ends it, though an earlier time may follow', () => {
  const cut = cutAt(1_000n);
  expect(cut.decide(begin(104, 10, 900))).toBe('base');
  expect(cut.decide(begin(103, 20, 950))).toBe('take');
  // Commit times are not monotonic.
  expect(cut.decide(begin(106, 30, 940))).toBe('take');
  expect(cut.decide(begin(107, 40, 1_000))).toBe('take');
  expect(cut.decide(begin(108, 50, 1_001))).toBe('after');
  expect(cut.decide(begin(109, 60, 999))).toBe('after');
  expect(cut.lastTaken).toEqual({ xid: 107, commitLsn: 40n, commitMicros: T + 1_000n });
  expect(cut.firstLeftOut).toEqual({ xid: 108, commitLsn: 50n, commitMicros: T + 1_001n });
});

test('what an earlier attempt applied is not applied again', () => {
  const cut = cutAt(1_000n, { applied: { commitLsn: 20n } });
  expect(cut.decide(begin(103, 20, 1))).toBe('applied');
  expect(cut.decide(begin(110, 30, 2))).toBe('take');
});

test('a base that holds more than the instant is refused, also where that shows only behind the cut', () => {
  const cut = cutAt(1_000n);
  expect(cut.decide(begin(110, 10, 1_001))).toBe('after');
  expect(cut.isOver).toBe(false);
  expect(() => cut.decide(begin(104, 20, 1_002))).toThrow(
    expect.objectContaining({ code: 'ARCHIVE_BASE_TOO_NEW' }),
  );
  const far = cutAt(100_000_000n);
  far.decide(begin(110, 10, 100_000_001));
  expect(far.isOver).toBe(true);
});

test('commits out of order are refused', () => {
  const cut = cutAt(1_000n);
  cut.decide(begin(110, 10, 1));
  expect(() => cut.decide(begin(111, 10, 2))).toThrow(expect.objectContaining({ code: 'ARCHIVE_ORDER' }));
});

test('positions and times are written as PostgreSQL and people write them', () => {
  expect(formatLsn(0x16_b374d848n)).toBe('16/B374D848');
  expect(formatMicros(1_796_000_000_000_001n)).toBe('2026-11-30T00:53:20.000001Z');
});
