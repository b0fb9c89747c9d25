import type { ArchiveHole, StoredTimeline } from '../../../model/archive.ts';
import type { StoredProof } from '../../../model/archive-proof.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import { readProof } from '../../../repository/archive/proofs.ts';
import type { Store } from '../../../repository/store.ts';

/** Times of which a database's archive can give no instant, with the reason, the oldest first: gaps between segments and timelines, and what a proof refuted. */
export async function readHoles(
  store: Store,
  database: string,
  timelines: readonly StoredTimeline[],
): Promise<readonly ArchiveHole[]> {
  const { holes } = archiveWindow(database, timelines);
  const refuted = timelines.flatMap(({ proofs = [] }) =>
    proofs.filter(({ verdict }) => verdict === 'FAILED'),
  );
  const told = refuted.map(async (proof) => ({
    fromMicros: proof.fromMicros,
    toMicros: proof.toMicros,
    code: 'refuted' as const,
    reason: await reasonOf(store, proof),
  }));
  return [...holes, ...(await Promise.all(told))].toSorted((one, other) => one.fromMicros - other.fromMicros);
}

async function reasonOf(store: Store, stored: StoredProof): Promise<string> {
  const { base, against, problems, provedAt } = await readProof(store, stored);
  return `Refuted by a proof of ${provedAt}: the changes archived since ${base} do not give ${against} (${problems.slice(0, 3).join('; ')}).`;
}
