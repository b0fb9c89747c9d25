import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { permanent } from '../model/errors.ts';
import type { RepositoryIdentity } from './identity.ts';
import { REPOSITORY_KEY } from './layout.ts';
import { proveStore } from './probe.ts';
import { openSealedJson } from './sealed-json.ts';
import { checkFormatVersion, getSealedIfThere } from './sealed-object.ts';
import { getSigned, getSignedIfThere, putSigned } from './signing/signed-object.ts';
import type { Cancellable, Store } from './store.ts';

/** The newest format version that this Holdfast knows. A clear repository has 1, an encrypted one 2. */
export const REPOSITORY_FORMAT_VERSION = 2;
export const CLEAR_FORMAT_VERSION = 1;

const identitySchema: z.ZodType<RepositoryIdentity> = z.object({
  formatVersion: z.int().positive(),
  id: z.uuid(),
  createdAt: z.iso.datetime(),
  encryption: z.object({ metadataKey: z.string().regex(/^[0-9a-f]{32}$/) }).exactOptional(),
});

/**
 * The repository in a store. Creates it on first use, after it has proved that the store does what a repository relies on. Of two creators at once, one
 * wins. Where the plan says that the repository is signed, a trusted key must have signed its document, since that names the key that an encrypted
 * repository is written with.
 *
 * Throws as `readRepository`, `proveStore`, `getSigned` and `putSigned`.
 */
export async function ensureRepository(store: Store, options: Cancellable = {}): Promise<RepositoryIdentity> {
  const found = await getSignedIfThere(store, REPOSITORY_KEY, identitySchema, options);
  if (found !== undefined) return checked(found, store);
  await proveStore(store, options);
  const clear: RepositoryIdentity = {
    formatVersion: CLEAR_FORMAT_VERSION,
    id: randomUUID(),
    createdAt: new Date().toISOString(),
  };
  const identity = (await store.prepareRepository?.(clear, options)) ?? clear;
  const outcome = await putSigned(store, REPOSITORY_KEY, identity, options);
  return outcome === 'created'
    ? identity
    : checked(await getSigned(store, REPOSITORY_KEY, identitySchema, options), store);
}

/** Throws, permanent: `REPOSITORY_NOT_FOUND`, `FORMAT_TOO_NEW`, `STORE_DAMAGED`. */
export async function readRepository(store: Store, options: Cancellable = {}): Promise<RepositoryIdentity> {
  const found = await findRepository(store, options);
  if (found !== undefined) return found;
  throw permanent(
    'REPOSITORY_NOT_FOUND',
    `There is no repository in ${store.description}: it has no ${REPOSITORY_KEY}.`,
    'Correct the location in the plan file, or run the first backup, which makes the repository.',
  );
}

/** As `readRepository`, but undefined where there is none. */
export async function findRepository(
  store: Store,
  options: Cancellable = {},
): Promise<RepositoryIdentity | undefined> {
  const found = await getSealedIfThere(store, REPOSITORY_KEY, identitySchema, options);
  return found === undefined ? undefined : checked(found, store);
}

/** What the bytes of `repository.json` say. Throws, permanent: `FORMAT_TOO_NEW`, `STORE_DAMAGED`. */
export function parseRepository(bytes: Uint8Array, store: Store): RepositoryIdentity {
  const what = `${REPOSITORY_KEY} in ${store.description}`;
  return checked(openSealedJson(bytes, identitySchema, what), store);
}

function checked(identity: RepositoryIdentity, store: Store): RepositoryIdentity {
  checkFormatVersion(
    identity.formatVersion,
    REPOSITORY_FORMAT_VERSION,
    `The repository in ${store.description}`,
  );
  return identity;
}
