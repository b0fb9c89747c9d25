/** Writes objects named by their hash under `objects/`, several at once, a line for each, until it is killed. */
import { randomBytes } from 'node:crypto';
import { argv } from 'node:process';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';

const root = argv[2];
if (root === undefined) throw new Error('give the directory of the store');
const store = new DirectoryStore(root);

async function writeForever(): Promise<never> {
  for (;;) {
    const body = randomBytes(3_000_000);
    const sha256 = sha256Hex(body);
    await store.put(`objects/${sha256}`, body, { sha256, ifAbsent: true });
    console.log(sha256);
  }
}

await Promise.all([writeForever(), writeForever(), writeForever()]);
