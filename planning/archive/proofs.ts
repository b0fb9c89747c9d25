import { isoOfMicros } from '../../model/archive.ts';
import type { ProofOutcome, StoredProof } from '../../model/archive-proof.ts';

/*
 * What the proofs of a timeline say of instants. Pure. A proof speaks of the changes between the snapshots of two backups: those that the
 * later one sees and the earlier one doesn't.
 */

/** A part of an interval, and what is known of it. */
export interface Stretch {
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly state: 'archived' | 'proved' | 'refuted';
}

/**
 * Transactions that an earlier backup doesn't see may have times of a moment before it. So an instant so shortly before a refuted stretch isn't
 * offered from an older backup.
 */
const DOUBT_MICROS = 60_000_000;

/** The interval, cut where the state changes. What was refuted stays so, whatever other proofs say. */
export function stretchesOf(
  { fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number },
  proofs: readonly StoredProof[],
): readonly Stretch[] {
  const inside = proofs.filter((proof) => proof.fromMicros < toMicros && proof.toMicros > fromMicros);
  const clamp = (micros: number) => Math.min(toMicros, Math.max(fromMicros, micros));
  const edges = [
    ...new Set([
      fromMicros,
      toMicros,
      ...inside.flatMap((proof) => [clamp(proof.fromMicros), clamp(proof.toMicros)]),
    ]),
  ].sort((one, other) => one - other);
  const stretches: Stretch[] = [];
  for (const [index, to] of edges.entries()) {
    const from = edges[index - 1];
    if (from === undefined) continue;
    const covering = inside.filter((proof) => proof.fromMicros <= from && proof.toMicros >= to);
    const state = stateOf(covering);
    const before = stretches.at(-1);
    if (before?.state === state) stretches[stretches.length - 1] = { ...before, toMicros: to };
    else stretches.push({ fromMicros: from, toMicros: to, state });
  }
  return stretches.length > 0 ? stretches : [{ fromMicros, toMicros, state: 'archived' }];
}

function stateOf(covering: readonly StoredProof[]): Stretch['state'] {
  if (covering.some(({ verdict }) => verdict === 'FAILED')) return 'refuted';
  return covering.length > 0 ? 'proved' : 'archived';
}

/**
 * Up to where a base can be replayed without entering a refuted stretch, microseconds since 1970; undefined where its own changes are
 * refuted. Infinity where nothing stands in its way.
 *
 * @param baseMicros when the snapshot of the base was taken
 */
export function soundUntil(baseMicros: number, proofs: readonly StoredProof[]): number | undefined {
  let until = Number.POSITIVE_INFINITY;
  for (const { fromMicros, toMicros, verdict } of proofs) {
    if (verdict !== 'FAILED' || toMicros <= baseMicros) continue;
    const end = fromMicros - DOUBT_MICROS;
    if (end <= baseMicros) return undefined;
    until = Math.min(until, end);
  }
  return until;
}

/** Up to where the changes since the base are proved without a gap; the base's own instant where they are not. */
export function provedUntil(baseMicros: number, proofs: readonly StoredProof[]): number {
  let until = baseMicros;
  for (const { fromMicros, toMicros, verdict } of proofs) {
    if (verdict === 'OK' && fromMicros <= until && toMicros > until) until = toMicros;
  }
  return until;
}

/** Whether a proof, however it ended, has spoken of all of the stretch. */
export function isSpokenOf(
  { fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number },
  proofs: readonly StoredProof[],
): boolean {
  return proofs.some((proof) => proof.fromMicros <= fromMicros && proof.toMicros >= toMicros);
}

/** Errors that only what is stored of the archive can cause. */
const REFUTING = [
  'ARCHIVE_BAD_SEGMENT',
  'ARCHIVE_HOLE',
  'ARCHIVE_INCONSISTENT',
  'ARCHIVE_MESSAGE',
  'ARCHIVE_ORDER',
  'REPLAY_DIFFERS',
];

/**
 * Whether an error that ended a proof says that the archive is wrong. Any other says nothing of it: the server was away, the base is
 * damaged, the role may not replay. A segment that is missing says nothing either: retention may have dropped it meanwhile, and what is missing in
 * the middle is a hole by its name.
 */
export function refutes({ code, message }: { readonly code: string; readonly message: string }): boolean {
  return REFUTING.includes(code) || (code === 'STORE_DAMAGED' && message.includes('archive/'));
}

/** `archive from … to …: proved (content of 12 tables with backup …)` */
export function proofText({ verdict, from, to, base, against, compared }: ProofOutcome): string {
  const stretch = `the archive from ${from} to ${to} (backup ${base} to ${against})`;
  switch (verdict) {
    case 'OK':
      return `${stretch} is proved: ${compared ?? 'compared'}`;
    case 'FAILED':
      return `${stretch} is refuted and is offered no more`;
    case 'INCONCLUSIVE':
      return `${stretch} could not be proved`;
  }
}

/** `2026-11-30T03:00:00.000000Z to …  proved` */
export function stretchText({ fromMicros, toMicros, state }: Stretch): string {
  const said = { archived: 'archived, not proved', proved: 'proved', refuted: 'refuted, never offered' };
  return `${isoOfMicros(fromMicros)} to ${isoOfMicros(toMicros)}  ${said[state]}`;
}
