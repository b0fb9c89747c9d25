import type { StoredProof } from '../../../model/archive-proof.ts';
import {
  isSpokenOf,
  provedUntil,
  refutes,
  soundUntil,
  stretchesOf,
} from '../../../planning/archive/proofs.ts';

const MINUTE = 60_000_000;

function proof(from: number, to: number, verdict: StoredProof['verdict']): StoredProof {
  return { key: '', fromMicros: from * MINUTE, toMicros: to * MINUTE, verdict };
}

const interval = { fromMicros: 0, toMicros: 100 * MINUTE };
const told = (proofs: readonly StoredProof[]) =>
  stretchesOf(interval, proofs).map(
    ({ fromMicros, toMicros, state }) => `${fromMicros / MINUTE}-${toMicros / MINUTE} ${state}`,
  );

test.each<readonly [string, readonly StoredProof[], readonly string[]]>([
  ['nothing', [], ['0-100 archived']],
  ['one in the middle', [proof(10, 20, 'OK')], ['0-10 archived', '10-20 proved', '20-100 archived']],
  [
    'two that follow each other',
    [proof(10, 20, 'OK'), proof(20, 40, 'OK')],
    ['0-10 archived', '10-40 proved', '40-100 archived'],
  ],
  [
    'one that was refuted and proved',
    [proof(10, 40, 'OK'), proof(20, 30, 'FAILED')],
    ['0-10 archived', '10-20 proved', '20-30 refuted', '30-40 proved', '40-100 archived'],
  ],
  ['one that begins before the interval', [proof(-10, 20, 'OK')], ['0-20 proved', '20-100 archived']],
  ['one of what retention has dropped', [proof(-10, 0, 'OK')], ['0-100 archived']],
])('an interval with proofs of %s is cut where the state changes', (_what, proofs, expected) => {
  expect(told(proofs)).toEqual(expected);
});

test('a base leads up to a minute before a refuted stretch, nowhere from within or shortly before it, and anywhere from its end on', () => {
  const proofs = [proof(20, 40, 'FAILED')];
  const until = (minute: number) => {
    const found = soundUntil(minute * MINUTE, proofs);
    return found === undefined ? undefined : found / MINUTE;
  };
  expect([0, 18, 19, 20, 30, 40, 50].map(until)).toEqual([
    19,
    19,
    undefined,
    undefined,
    undefined,
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]);
});

test('changes since a base are proved by proofs that leave no gap, also one that began before the base', () => {
  const proofs = [proof(0, 20, 'OK'), proof(20, 30, 'OK'), proof(35, 50, 'OK')];
  expect([0, 10, 30, 35, 60].map((minute) => provedUntil(minute * MINUTE, proofs) / MINUTE)).toEqual([
    30, 30, 30, 50, 60,
  ]);
  expect(isSpokenOf({ fromMicros: 5 * MINUTE, toMicros: 20 * MINUTE }, proofs)).toBe(true);
  expect(isSpokenOf({ fromMicros: 5 * MINUTE, toMicros: 25 * MINUTE }, proofs)).toBe(false);
});

test.each([
  ['REPLAY_DIFFERS', 'rows', true],
  ['ARCHIVE_INCONSISTENT', 'messages', true],
  ['STORE_DAMAGED', 'archive/orders/o/t/s-1.zst in /r is damaged', true],
  ['STORE_DAMAGED', 'backups/orders/b1/data/e1/x.zst in /r is damaged', false],
  ['STORE_NOT_FOUND', 'archive/orders/o/t/s-1.zst is missing', false],
  ['RESTORE_DIFFERS', 'the base', false],
  ['REPLAY_PRIVILEGE', 'the role', false],
  ['YSQL_UNAVAILABLE', 'the server', false],
])('an error %s (%s) refutes the archive: %s', (code, message, expected) => {
  expect(refutes({ code, message })).toBe(expected);
});
