import { HoldfastError, permanent } from '../../model/errors.ts';
import type { SecretRef, SigningSpec } from '../../model/source.ts';
import type { SecretResolver } from '../connection.ts';
import { noSigningKey } from './errors.ts';
import { readSigningKey, type SigningKey } from './ssh-key.ts';
import { type PublicKey, parsePublicKey, signMessage } from './ssh-signature.ts';

/** Who signs what is written into a repository, and whose signatures count. */
export class Signing {
  /** Trusted keys, by their fingerprint. */
  readonly trusted: ReadonlyMap<string, PublicKey>;
  readonly #spec: SigningSpec;
  readonly #secret: SecretResolver;
  readonly #repository: string;
  #key: Promise<SigningKey> | undefined;

  /** @param repository names it in messages. Throws `SIGNING_BAD_KEY` (permanent) for text that is not a public key */
  constructor(spec: SigningSpec, secret: SecretResolver, repository: string) {
    this.#spec = spec;
    this.#secret = secret;
    this.#repository = repository;
    const keys = spec.trusted.map((line) => {
      const key = parsePublicKey(line);
      if (key !== undefined) return key;
      throw permanent(
        'SIGNING_BAD_KEY',
        `${JSON.stringify(line)} in \`signing.trusted\` is no public key of type ssh-ed25519.`,
        'Write the line that holdfast keys signing, or ssh-keygen, printed.',
      );
    });
    this.trusted = new Map(keys.map((key) => [key.fingerprint, key]));
  }

  /**
   * The armored signature of a message. @param namespace see `namespaceOf`
   *
   * Throws (permanent) `SIGNING_NO_KEY` where this process has no key, `SIGNING_BAD_KEY`, and `SIGNING_KEY_NOT_TRUSTED` where the plan doesn't
   * trust this process's key.
   */
  async sign(namespace: string, message: Uint8Array): Promise<string> {
    return signMessage(await this.key(), namespace, message);
  }

  /** The key that this process signs with. Throws as `sign`. */
  key(): Promise<SigningKey> {
    this.#key ??= this.#read();
    const key = this.#key;
    key.catch(() => {
      // Try again next time: somebody may put the key in its place while this process runs.
      if (this.#key === key) this.#key = undefined;
    });
    return key;
  }

  async #read(): Promise<SigningKey> {
    const { key: reference } = this.#spec;
    if (reference === undefined)
      throw noSigningKey(this.#repository, 'the Repository names no `signing.key`');
    const key = readSigningKey(await this.#textOf(reference), inWords(reference));
    if (this.trusted.has(key.public.fingerprint)) return key;
    throw permanent(
      'SIGNING_KEY_NOT_TRUSTED',
      `The signing key ${inWords(reference)} is ${key.public.fingerprint}, which is not among the keys in \`signing.trusted\`.`,
      'Add its public key to `signing.trusted`, or use a key that is there.',
    );
  }

  async #textOf(reference: SecretRef): Promise<string> {
    try {
      return await this.#secret(reference);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'SECRET_MISSING') throw error;
      throw noSigningKey(this.#repository, error.message);
    }
  }
}

/** The namespace of an object's signature: its own key. A signature holds only for that key, so no object can be passed off as another. */
export function namespaceOf(key: string): string {
  return `holdfast:${key}`;
}

function inWords(reference: SecretRef): string {
  return 'env' in reference ? `the variable ${reference.env}` : reference.file;
}
