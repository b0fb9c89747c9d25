import { readFile } from 'node:fs/promises';
import { permanent } from '../model/errors.ts';
import type { SecretRef } from '../model/pipeline.ts';

/** Variables by their names, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads a secret in this process: an environment variable, or a file without its trailing newline. Throws `SECRET_MISSING` (permanent), naming the
 * reference and never a value.
 */
export function resolveSecret(reference: SecretRef): Promise<string> {
  return secretIn(process.env, reference);
}

/** Reads secrets as `resolveSecret` does, with the variables of `environment` instead of this process's own. */
export function secretsOf(environment: Environment): (reference: SecretRef) => Promise<string> {
  return (reference) => secretIn(environment, reference);
}

async function secretIn(environment: Environment, reference: SecretRef): Promise<string> {
  if ('env' in reference) {
    const value = environment[reference.env];
    if (value === undefined || value === '') {
      throw permanent(
        'SECRET_MISSING',
        `the environment variable ${reference.env} is not set on this worker`,
        `Set ${reference.env} where the worker (or this command) runs.`,
      );
    }
    return value;
  }
  try {
    return (await readFile(reference.file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    throw permanent(
      'SECRET_MISSING',
      `the secret file ${reference.file} cannot be read on this worker`,
      'Create it there, readable by the worker’s user.',
      error,
    );
  }
}
