import { z } from 'zod';
import type { ArchiveProof, StoredProof } from '../../model/archive-proof.ts';
import { getSealed } from '../sealed-object.ts';
import { putSigned } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { type ArchiveId, parseProofKey, proofKey, proofsFolder } from './names.ts';

const proofSchema: z.ZodType<ArchiveProof> = z.object({
  formatVersion: z.literal(1),
  plan: z.string(),
  database: z.string(),
  timeline: z.string(),
  base: z.string(),
  against: z.string(),
  fromMicros: z.number(),
  toMicros: z.number(),
  verdict: z.enum(['OK', 'FAILED']),
  compared: z.string(),
  problems: z.array(z.string()),
  provedAt: z.string(),
});

/** The first proof of a stretch with this verdict stands; one that failed counts whatever others say. */
export async function putProof(
  store: Store,
  proof: ArchiveProof,
  options: Cancellable = {},
): Promise<'created' | 'exists'> {
  return putSigned(store, proofKey(proof, proof.timeline, proof), proof, options);
}

/** In order of their begin. What is in the folder and isn't the name of a proof is passed over. */
export async function listProofs(
  store: Store,
  id: ArchiveId,
  timeline: string,
  options: Cancellable = {},
): Promise<readonly StoredProof[]> {
  const proofs: StoredProof[] = [];
  for await (const { key } of store.list(proofsFolder(id, timeline), options)) {
    const proof = parseProofKey(key);
    if (proof !== undefined) proofs.push(proof);
  }
  return proofs.sort((one, other) => (one.key < other.key ? -1 : 1));
}

/** Throws `STORE_NOT_FOUND` or `STORE_DAMAGED` (permanent). */
export async function readProof(
  store: Store,
  { key }: StoredProof,
  options: Cancellable = {},
): Promise<ArchiveProof> {
  return getSealed(store, key, proofSchema, options);
}
