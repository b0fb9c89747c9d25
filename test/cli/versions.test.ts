import { FORMATS } from '../../cli/versions.ts';
import { MANIFEST_FORMAT_VERSION } from '../../repository/backups/manifest.ts';

test('`version --all` names each format of a manifest up to the newest, with none left out', () => {
  const all = Array.from({ length: MANIFEST_FORMAT_VERSION }, (_, index) => index + 1);
  expect(FORMATS.manifests.reads).toEqual(all);
  expect(FORMATS.manifests.writes).toEqual(all);
});
