import { linesOf, onceEach } from '../../cli/commands/doctor.ts';

test('what a check of doctor found is one line, whatever the names hold', () => {
  expect(
    linesOf({
      name: 'tables',
      ok: false,
      detail: 'no privilege on public.new\nline\r\u001b[31m',
      remedy: 'Grant it on "a\tb".',
    }),
  ).toEqual(['✘ tables: no privilege on public.new\\nline\\r\\u001b[31m', '    → Grant it on "a\\tb".']);
  expect(linesOf({ name: 'tables', ok: true, detail: '3 tables in 1 database' })).toEqual([
    '✔ tables: 3 tables in 1 database',
  ]);
});

test('what several checks met is told once', () => {
  const refused = { ok: false, detail: 'connect ECONNREFUSED', remedy: 'Start it.' };
  const fine = { name: 'clock', ok: true, detail: 'yes' };
  const checks = [
    fine,
    { name: 'source', ...refused },
    { name: 'tables', ...refused },
    { ...fine, name: 'more' },
  ];
  expect(onceEach(checks)).toEqual([
    fine,
    { name: 'source', ...refused },
    { name: 'tables', ok: false, detail: 'the same as of "source"' },
    { ...fine, name: 'more' },
  ]);
});
