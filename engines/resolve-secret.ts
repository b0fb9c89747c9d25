import { readFile } from 'node:fs/promises';
import { permanent } from '../model/errors.ts';
import type { SecretRef } from '../model/pipeline.ts';

/**
 * Reads a secret in this process: an environment variable, or a file without its trailing newline. Throws `SECRET_MISSING` (permanent), naming the
 * reference and never a value.
 */
export async function resolveSecret(reference: SecretRef): Promise<string> {
  if ('env' in reference) {
    const value = process.env[reference.env];
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
