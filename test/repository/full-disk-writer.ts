/** On a file system of 4 MiB: what becomes of an object that does not fit, and of one that does after it. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { argv } from 'node:process';
import { HoldfastError } from '../../model/errors.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';

const root = argv[2];
if (root === undefined) throw new Error('give the directory of the store');
const store = new DirectoryStore(root);

async function put(key: string, sizeBytes: number): Promise<unknown> {
  const body = Buffer.alloc(sizeBytes, key);
  try {
    return await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true });
  } catch (error) {
    if (error instanceof HoldfastError) return { code: error.code, transient: error.transient };
    throw error;
  }
}

const large = await put('large', 6_000_000);
const small = await put('small', 2_000_000);
const temporaryFiles = (await readdir(path.join(root, '.holdfast-tmp'))).length;
console.log(JSON.stringify({ large, small, temporaryFiles }));
