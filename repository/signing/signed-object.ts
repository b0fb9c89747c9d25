import type { z } from 'zod';
import { recover } from '../../model/errors.ts';
import { signatureFolder, signatureKey } from '../layout.ts';
import { openSealedJson, sealJson, sealSignedJson, signedTextOf } from '../sealed-json.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { ifThere } from '../store-errors.ts';
import { distrusted, isDistrusted, type SignatureState } from './errors.ts';
import { namespaceOf, type Signing } from './signing.ts';
import { checkSignature } from './ssh-signature.ts';

/** The bytes of sealed JSON for this store, signed where its plan says so. Throws as `Signing.sign`. */
export async function sealFor(store: Store, key: string, value: object): Promise<Uint8Array> {
  const { signing } = store;
  if (signing === undefined) return sealJson(value);
  return sealSignedJson(value, (message) => signing.sign(namespaceOf(key), message));
}

/** As `putSealed`, signed where the plan says so. */
export async function putSigned(
  store: Store,
  key: string,
  value: object,
  options: Cancellable = {},
): Promise<'created' | 'exists'> {
  const body = await sealFor(store, key, value);
  return store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true, ...options });
}

/** As `replaceSealed`, signed where the plan says so. */
export async function replaceSigned(
  store: Store,
  key: string,
  value: object,
  options: Cancellable = {},
): Promise<void> {
  const body = await sealFor(store, key, value);
  await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false, ...options });
}

/** As `getSealed`. Where the plan says that the repository is signed, it also throws what `requireTrusted` throws. */
export async function getSigned<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<T> {
  const bytes = await store.get(key, options);
  await requireTrusted(store, key, bytes, options);
  return openSealedJson(bytes, schema, `${key} in ${store.description}`);
}

/** As `getSigned`, but undefined where there is no such object. */
export async function getSignedIfThere<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<T | undefined> {
  return await ifThere(getSigned(store, key, schema, options));
}

/** As `getSignedIfThere`, but undefined also where no trusted key signed the object. For records that may as well be lost. */
export async function getTrustedIfThere<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<T | undefined> {
  return await recover(getSignedIfThere(store, key, schema, options), isDistrusted, () => undefined);
}

/**
 * Refuses an object that no trusted key signed, where the plan says that the repository is signed. Throws, permanent: `SIGNATURE_MISSING`,
 * `SIGNATURE_FOREIGN`, `SIGNATURE_FORGED`.
 */
export async function requireTrusted(
  store: Store,
  key: string,
  bytes: Uint8Array,
  options: Cancellable = {},
): Promise<void> {
  if (store.signing === undefined) return;
  const found = await signatureOf(store, store.signing, key, bytes, options);
  if (found.state === 'trusted') return;
  throw distrusted(
    `${key} in ${store.description}`,
    found,
    'Find out who can write there. If it was written before the plan had `signing`: holdfast sign PLAN signs the repository and its backups, with --archive where its archive begins.',
  );
}

/**
 * Who signed an object: by the signature in it, or by one that was made later and lies beside it (`signatures/`). One trusted signature is
 * enough.
 */
export async function signatureOf(
  store: Store,
  signing: Signing,
  key: string,
  bytes: Uint8Array,
  options: Cancellable = {},
): Promise<SignatureState> {
  const within = signatureWithin(signing, key, bytes);
  if (within.state === 'trusted') return within;
  const sha256 = sha256Hex(bytes);
  let forged: SignatureState | undefined;
  for (const fingerprint of signing.trusted.keys()) {
    const armored = await findText(store, signatureKey(key, sha256, fingerprint), options);
    if (armored === undefined) continue;
    const check = checkSignature(armored, namespaceOf(key), bytes);
    if (!check.isValid) {
      // Go on, since another signature may be good: anybody can put one there.
      forged ??= { state: 'forged', reason: check.reason };
      continue;
    }
    const { fingerprint: signer } = check.signer;
    if (signing.trusted.has(signer)) return { state: 'trusted', signer };
  }
  if (forged !== undefined) return forged;
  if (within.state !== 'unsigned' || !(await wasSigned(store, key, options))) return within;
  return { state: 'forged', reason: 'is of other contents' };
}

function signatureWithin(signing: Signing, key: string, bytes: Uint8Array): SignatureState {
  const signed = signedTextOf(bytes);
  if (signed === undefined) return { state: 'unsigned' };
  const check = checkSignature(signed.signature, namespaceOf(key), signed.message);
  if (!check.isValid) return { state: 'forged', reason: check.reason };
  const { fingerprint: signer } = check.signer;
  return { state: signing.trusted.has(signer) ? 'trusted' : 'foreign', signer };
}

/** Whether any signature lies beside an object, be it of other contents. */
async function wasSigned(store: Store, key: string, options: Cancellable): Promise<boolean> {
  for await (const _ of store.list(signatureFolder(key), options)) return true;
  return false;
}

async function findText(store: Store, key: string, options: Cancellable): Promise<string | undefined> {
  const bytes = await ifThere(store.get(key, options));
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

/** Signs an existing object. Writes the signature beside it, and leaves the object as it is. Throws as `Signing.sign`. */
export async function signObject(
  store: Store,
  signing: Signing,
  key: string,
  bytes: Uint8Array,
  options: Cancellable = {},
): Promise<void> {
  const { fingerprint } = (await signing.key()).public;
  const body = Buffer.from(await signing.sign(namespaceOf(key), bytes));
  await store.put(signatureKey(key, sha256Hex(bytes), fingerprint), body, {
    sha256: sha256Hex(body),
    // An existing signature may be a forgery, so it is replaced.
    ifAbsent: false,
    ...options,
  });
}
