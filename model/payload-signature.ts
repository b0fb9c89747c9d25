/** Names in the metadata of a payload of Temporal's. */

/** Holds the signature of an installation's key (`worker/signing.ts`). It is put on what leaves a process and taken off what comes in. */
export const SIGNATURE = 'holdfast-signature';

/**
 * Set on what comes in without a valid signature, where an installation has a key; nobody can take it off from outside. It holds the instant, in
 * digits of milliseconds since 1970, since when this installation signs: runs that began before are let go on.
 */
export const UNSIGNED = 'holdfast-unsigned';

/** What of a payload is looked at. */
export interface MarkedPayload {
  readonly metadata?: Readonly<Record<string, Uint8Array>> | null;
}

/** Since when this installation signs, in milliseconds since 1970, if the payload should be signed and isn't; else undefined. */
export function unsignedPayloadSince(payload: MarkedPayload | null | undefined): number | undefined {
  const mark = payload?.metadata?.[UNSIGNED];
  return mark === undefined ? undefined : Number(String.fromCharCode(...mark));
}
