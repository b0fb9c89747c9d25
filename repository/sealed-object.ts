import type { z } from 'zod';
import { permanent } from '../model/errors.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';
import { sha256Hex } from './sha256.ts';
import type { Cancellable, Store } from './store.ts';
import { ifThere } from './store-errors.ts';

/** Writes sealed JSON once. Returns `exists`, and changes nothing, if the key is taken. */
export async function putSealed(
  store: Store,
  key: string,
  value: object,
  options: Cancellable = {},
): Promise<'created' | 'exists'> {
  const body = sealJson(value);
  return store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true, ...options });
}

/** Writes sealed JSON. Replaces what is there. */
export async function replaceSealed(
  store: Store,
  key: string,
  value: object,
  options: Cancellable = {},
): Promise<void> {
  const body = sealJson(value);
  await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false, ...options });
}

/** Reads and checks sealed JSON. Throws `STORE_NOT_FOUND` or `STORE_DAMAGED` (both permanent), naming the key. */
export async function getSealed<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<T> {
  const bytes = await store.get(key, options);
  return openSealedJson(bytes, schema, `${key} in ${store.description}`);
}

/** As `getSealed`, but undefined where there is no such object. */
export async function getSealedIfThere<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<T | undefined> {
  return await ifThere(getSealed(store, key, schema, options));
}

/**
 * Writes sealed JSON unless the key is taken. Returns the value that holds, and whether this call wrote it. Throws `STORE_DAMAGED`
 * (permanent).
 */
export async function sealOnce<T extends object>(
  store: Store,
  key: string,
  record: T,
  schema: z.ZodType<T>,
  options: Cancellable = {},
): Promise<{ readonly record: T; readonly isNew: boolean }> {
  const outcome = await putSealed(store, key, record, options);
  if (outcome === 'created') return { record, isNew: true };
  return { record: (await getSealedIfThere(store, key, schema, options)) ?? record, isNew: false };
}

/** Refuses an object of a newer format version, naming it, before its shape is checked. Throws `FORMAT_TOO_NEW` (permanent). */
export function checkFormatVersion(found: number, known: number, what: string): void {
  if (found <= known) return;
  throw permanent(
    'FORMAT_TOO_NEW',
    `${what} has format version ${found}; this Holdfast knows up to ${known}.`,
    'Use a newer version of Holdfast.',
  );
}
