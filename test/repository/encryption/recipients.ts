import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { permanent } from '../../../model/errors.ts';
import type { EncryptionSpec } from '../../../model/source.ts';
import type { SecretResolver } from '../../../repository/connection.ts';
import { EncryptedStore } from '../../../repository/encryption/encrypted-store.ts';
import type { Store } from '../../../repository/store.ts';

/** Somebody who may restore. */
export interface Person {
  readonly identity: string;
  readonly recipient: string;
}

export async function newPerson(): Promise<Person> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** The people around one repository: two who may restore, and what every worker has. */
export interface People {
  readonly alice: Person;
  readonly bob: Person;
  readonly worker: Person;
}

export async function newPeople(): Promise<People> {
  return { alice: await newPerson(), bob: await newPerson(), worker: await newPerson() };
}

/** What the plan says; which of the identities are there differs from worker to worker. */
export function encryptionOf({ alice, bob }: People): EncryptionSpec {
  return {
    recipients: [alice.recipient, bob.recipient],
    identity: { env: 'IDENTITY' },
    metadataIdentity: { env: 'METADATA_IDENTITY' },
  };
}

/** A worker's secrets: those that are undefined are not there. */
export function secretsOf(secrets: Readonly<Record<string, string | undefined>>): SecretResolver {
  return async (reference) => {
    const name = 'env' in reference ? reference.env : reference.file;
    const value = secrets[name];
    if (value !== undefined) return value;
    throw permanent('SECRET_MISSING', `${name} is not on this worker`, `Set ${name}.`);
  };
}

/** A worker that makes backups: it has the metadata identity, and no identity that opens data. */
export function backupSide(raw: Store, people: People): EncryptedStore {
  return new EncryptedStore(
    raw,
    encryptionOf(people),
    secretsOf({ METADATA_IDENTITY: people.worker.identity }),
  );
}

/** A worker that restores, by the identity of `person`. */
export function restoreSide(raw: Store, people: People, person: Person = people.alice): EncryptedStore {
  return new EncryptedStore(raw, encryptionOf(people), secretsOf({ IDENTITY: person.identity }));
}
