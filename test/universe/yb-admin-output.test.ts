import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openYbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { createScratchFolder } from '../../parts/scratch.ts';

test('a list that is longer than what is kept of it is refused: its beginning would be taken for all of it', async () => {
  const scratch = await createScratchFolder('yb-admin');
  try {
    const program = path.join(scratch.path, 'yb-admin');
    const text = '#!/bin/sh\nhead -c 68000000 /dev/zero | tr "\\0" "\\n"\n';
    await writeFile(program, text, { mode: 0o755 });
    const admin = await openYbAdmin({ masters: ['127.0.0.1:7100'], program }, new AbortController().signal);
    await expect(admin.run('list_tables', [])).rejects.toMatchObject({
      code: 'YB_ADMIN_UNREADABLE',
      message: expect.stringContaining('more than 64 MiB'),
    });
  } finally {
    await scratch.remove();
  }
});
