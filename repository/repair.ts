import { randomUUID } from 'node:crypto';
import { type HoldfastError, permanent, recover } from '../model/errors.ts';
import type { EncryptionSpec } from '../model/source.ts';
import { listBackups, listPlans } from './backups/list-backups.ts';
import type { SecretResolver } from './connection.ts';
import { EncryptedStore } from './encryption/encrypted-store.ts';
import { repositoryIsClear, repositoryIsEncrypted } from './encryption/errors.ts';
import { keyIdOf } from './encryption/key-files.ts';
import { Keyring } from './encryption/keyring.ts';
import type { RepositoryIdentity } from './identity.ts';
import { KEYS_FOLDER, REPOSITORY_KEY } from './layout.ts';
import { OverlaidStore } from './overlaid-store.ts';
import { PROBES_FOLDER } from './probe.ts';
import { CLEAR_FORMAT_VERSION, findRepository, REPOSITORY_FORMAT_VERSION } from './repository.ts';
import { sealJson } from './sealed-json.ts';
import { sha256Hex } from './sha256.ts';
import { UNSIGNED } from './signing/errors.ts';
import { sealFor } from './signing/signed-object.ts';
import type { Signing } from './signing/signing.ts';
import type { Cancellable, Store } from './store.ts';
import { ifThere, ifWhole } from './store-errors.ts';

/** What is known for the repair of `repository.json`. */
export interface RepairWishes extends Cancellable {
  readonly encryption?: EncryptionSpec | undefined;
  readonly signing?: Signing | undefined;
  readonly secret: SecretResolver;
  /** The repository's id, if somebody knows it: `status --json` of an applied plan shows it. */
  readonly id?: string | undefined;
}

/** How a repair ended. */
export interface RepairResult {
  readonly outcome: 'whole' | 'repaired';
  readonly identity: RepositoryIdentity;
  /** Key under which the damaged document is kept. */
  readonly kept?: string;
  /** Number of backups, of all plans, that the new document could read. */
  readonly backups: number;
  /** True: nobody knew the id, so the repository has a new one. */
  readonly isNewId: boolean;
}

/**
 * Makes a damaged or missing `repository.json` anew, from what is left of it, the key files and the manifests. Writes nothing before the new document has been
 * used to read a manifest; in an encrypted repository that proves the id and the metadata key.
 *
 * Throws (permanent) `REPOSITORY_NOT_FOUND` where no manifest shows that there was a repository; `REPOSITORY_ID_UNKNOWN` where no known id can read an
 * encrypted one; `SIGNATURE_MISSING` where the plan says that it is signed and no trusted key signed a manifest; `REPOSITORY_IS_CLEAR`,
 * `REPOSITORY_IS_ENCRYPTED`; and what opening keys and signing throw.
 *
 * @param raw the store without its door
 */
export async function repairRepository(raw: Store, wishes: RepairWishes): Promise<RepairResult> {
  const { signal } = wishes;
  const cancellable = signal === undefined ? {} : { signal };
  const bytes = await ifThere(raw.get(REPOSITORY_KEY, cancellable));
  const whole = await ifWhole(findRepository(raw, cancellable));
  if (whole !== undefined) return { outcome: 'whole', identity: whole, backups: 0, isNewId: false };
  const left = leftIn(bytes);
  const ids = [wishes.id, left.id].filter((id) => id !== undefined);
  const keys = await Array.fromAsync(raw.list(KEYS_FOLDER, cancellable), ({ key }) => keyIdOf(key) ?? '');
  const keyIds = keys.filter((id) => id !== '');
  const { encryption } = wishes;
  if (encryption === undefined && keyIds.length > 0) throw repositoryIsEncrypted(raw.description);
  if (encryption !== undefined && keyIds.length === 0) throw repositoryIsClear(raw.description);
  const found =
    encryption === undefined
      ? await clearDocument(new OverlaidStore(raw, {}, wishes.signing), ids, left, cancellable)
      : await encryptedDocument(raw, { ...wishes, encryption }, ids, keyIds, left, cancellable);
  const body = await sealFor(new OverlaidStore(raw, {}, wishes.signing), REPOSITORY_KEY, found.identity);
  const kept = await keep(raw, bytes, cancellable);
  await raw.put(REPOSITORY_KEY, body, {
    sha256: sha256Hex(body),
    ifAbsent: bytes === undefined,
    ...cancellable,
  });
  return {
    outcome: 'repaired',
    ...found,
    isNewId: !ids.includes(found.identity.id),
    ...(kept === undefined ? {} : { kept }),
  };
}

interface Found {
  readonly identity: RepositoryIdentity;
  readonly backups: number;
}

/** What can still be read of a damaged document. */
interface Left {
  readonly id?: string;
  readonly createdAt?: string;
  readonly metadataKey?: string;
}

function leftIn(bytes: Uint8Array | undefined): Left {
  const text = Buffer.from(bytes ?? []).toString();
  const [id] = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(text) ?? [];
  const [createdAt] = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/.exec(text) ?? [];
  const [, metadataKey] = /"metadataKey": "([0-9a-f]{32})"/.exec(text) ?? [];
  return {
    ...(id === undefined ? {} : { id }),
    ...(createdAt === undefined || Number.isNaN(Date.parse(createdAt)) ? {} : { createdAt }),
    ...(metadataKey === undefined ? {} : { metadataKey }),
  };
}

async function clearDocument(
  raw: Store,
  [id]: readonly string[],
  left: Left,
  options: Cancellable,
): Promise<Found> {
  const { backups, begun, distrustedBy } = await manifestsIn(raw, options);
  if (begun === undefined) throw distrustedBy ?? nothingThere(raw);
  const createdAt = left.createdAt ?? begun;
  return { identity: { formatVersion: CLEAR_FORMAT_VERSION, id: id ?? randomUUID(), createdAt }, backups };
}

/** Tries every known id with every metadata key that this process can open, until it can read manifests. */
async function encryptedDocument(
  raw: Store,
  { encryption, secret, signing }: RepairWishes & { readonly encryption: EncryptionSpec },
  ids: readonly string[],
  keyIds: readonly string[],
  left: Left,
  options: Cancellable,
): Promise<Found> {
  let distrusted: HoldfastError | undefined;
  const keyring = new Keyring(raw, encryption, secret);
  const metadataKeys: string[] = [];
  for (const id of keyIds) if (await isMetadataKey(keyring, id)) metadataKeys.push(id);
  // Try the key that the damaged document names first.
  metadataKeys.sort((one, other) => Number(other === left.metadataKey) - Number(one === left.metadataKey));
  for (const id of ids) {
    for (const metadataKey of metadataKeys) {
      const identity: RepositoryIdentity = {
        formatVersion: REPOSITORY_FORMAT_VERSION,
        id,
        createdAt: left.createdAt ?? new Date(0).toISOString(),
        encryption: { metadataKey },
      };
      const overlaid = new OverlaidStore(raw, { [REPOSITORY_KEY]: sealJson(identity) });
      const store = new EncryptedStore(overlaid, encryption, secret, signing);
      const { backups, begun, distrustedBy } = await manifestsIn(store, options);
      distrusted ??= distrustedBy;
      if (begun !== undefined)
        return { identity: { ...identity, createdAt: left.createdAt ?? begun }, backups };
    }
  }
  if (distrusted !== undefined) throw distrusted;
  throw permanent(
    'REPOSITORY_ID_UNKNOWN',
    `No manifest of ${raw.description} can be read by ${ids.length === 0 ? 'any id, since none is known' : `the id ${ids.join(' or ')}`}, and ${metadataKeys.length} metadata keys that open here.`,
    'Give the repository’s id: --id (`holdfast status PLAN --json` of an applied plan has it as `repositoryId`), or put back an older version of repository.json.',
  );
}

/** Whether a key is a metadata key that this process can open. Only such a key can be tried. */
async function isMetadataKey(keyring: Keyring, id: string): Promise<boolean> {
  const opening = ifWhole(keyring.open(id, ['metadataIdentity', 'identity']));
  const opened = await recover(opening, 'ENCRYPTION_WRONG_IDENTITY', () => undefined);
  return opened?.key.purpose === 'metadata';
}

interface Manifests {
  readonly backups: number;
  /** When the oldest of these backups was begun. Undefined where there is none. */
  readonly begun: string | undefined;
  /** Present where the plan says that the repository is signed and no trusted key signed any of them: the refusal. */
  readonly distrustedBy?: HoldfastError;
}

/**
 * The manifests that can be read. Where the plan says that the repository is signed, manifests that no trusted key signed don't count: a forger could make the
 * repository go on under a metadata key that he knows.
 */
async function manifestsIn(store: Store, options: Cancellable): Promise<Manifests> {
  const begins: string[] = [];
  let unsigned: string | undefined;
  for await (const plan of listPlans(store, options)) {
    const { backups, unusable } = await listBackups(store, plan, options);
    begins.push(...backups.map(({ startedAt }) => startedAt));
    unsigned ??= unusable.find(({ state }) => DISTRUSTED_STATES.has(state))?.backup;
  }
  const begun = begins.sort()[0];
  if (begun !== undefined || unsigned === undefined) return { backups: begins.length, begun };
  const distrustedBy = permanent(
    UNSIGNED,
    `No manifest in ${store.description} is signed by a key that the plan trusts, that of ${unsigned} for one, so nothing tells what repository.json should say.`,
    'If you know the backups to be yours, take `signing` out of the Repository for the repair, and sign afterwards: holdfast sign PLAN --all.',
  );
  return { backups: 0, begun, distrustedBy };
}

const DISTRUSTED_STATES: ReadonlySet<string> = new Set(['unsigned', 'foreign', 'forged']);

async function keep(
  raw: Store,
  bytes: Uint8Array | undefined,
  options: Cancellable,
): Promise<string | undefined> {
  if (bytes === undefined) return undefined;
  const sha256 = sha256Hex(bytes);
  const key = `${PROBES_FOLDER}damaged-repository-${sha256.slice(0, 16)}`;
  await raw.put(key, bytes, { sha256, ifAbsent: true, ...options });
  return key;
}

function nothingThere(raw: Store): HoldfastError {
  return permanent(
    'REPOSITORY_NOT_FOUND',
    `${raw.description} holds no manifest that can be read, so nothing tells that there was a repository.`,
    'Correct the location in the plan file. A new repository is made by the first backup.',
  );
}
