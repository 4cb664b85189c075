"""What the documentation names exists: linked files and headings, paths, make targets, settings; and each error code of the
program has its line in docs/errors.md, each page its line in docs/README.md."""
import glob
import os
import re
import subprocess
import sys

PAGES = sorted(glob.glob('*.md')) + sorted(glob.glob('docs/*.md'))
TOPS = ('src/', 'tests/', 'config/', 'docker/', 'docs/', '.ci/')
found = []


def read(name):
    with open(name, encoding='utf-8') as f:
        return f.read()


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    out = set()
    for heading in re.findall(r'^#+ (.*)$', read(page), re.M):
        heading = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower()
        out.add(re.sub(r'[^\w\- ]', '', heading).replace(' ', '-'))
    return out


def exists(path):
    path = re.sub(r':\d+$', '', path)
    return bool(glob.glob(re.sub(r'\b[A-Z][A-Z_]+\b', '*', path)))


def links(page, text):
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(path):
            found.append(f'{page}: no such file: {target}')
        elif anchor and path.endswith('.md') and anchor not in anchors(path):
            found.append(f'{page}: no such heading: {target}')


def settings():
    """Those of the generated table, which a unit test compares with the program's."""
    return set(re.findall(r'^\| `([a-z0-9-]+)` \|', read('docs/settings.md'), re.M))


def words(page, text, keys, targets):
    prefixes = {k.split('-')[0] for k in keys if '-' in k}
    for word in re.findall(r'`([^`\n]+)`', text):
        if word.startswith(TOPS) and ' ' not in word and '$' not in word and not exists(word.rstrip('/')):
            found.append(f'{page}: no such path: {word}')
        for target in re.findall(r'^make (?:[A-Z_]+=\S+ )*([a-z][a-z-]+)', word):
            if target not in targets:
                found.append(f'{page}: no such target: make {target}')
        key = re.match(r'([a-z]+(?:-[a-z0-9]+)+)(?: = |$)', word)
        if key and key[1] not in keys and key[1].split('-')[0] in prefixes and key[1] not in NO_SETTINGS:
            found.append(f'{page}: no such setting: {key[1]}')


# Words of other programs that look like settings of ours.
NO_SETTINGS = {'commit-allow-override', 'server-timing'}


def errors():
    page = read('docs/errors.md')
    sources = subprocess.run(['git', 'grep', '-hoE', '"PGH[0-9]{3}"', '--', 'src'], capture_output=True, text=True, check=True).stdout
    for code in sorted(set(re.findall(r'PGH\d+', sources))):
        if f'`{code}`' not in page:
            found.append(f'docs/errors.md: {code} is not explained')


def main():
    keys = settings()
    if len(keys) < 50:
        found.append(f'docs/settings.md: only {len(keys)} settings are recognized: mend tests/lint/docs.py')
    targets = set(re.findall(r'^([a-z][a-z-]+):', read('Makefile'), re.M))
    for page in PAGES:
        text = read(page)
        links(page, text)
        words(page, text, keys, targets)
    contents = read('docs/README.md')
    for page in PAGES:
        if page.startswith('docs/') and page != 'docs/README.md' and f']({os.path.basename(page)})' not in contents:
            found.append(f'docs/README.md: {page} is not in it')
    errors()
    for line in found:
        print(line)
    return bool(found)


sys.exit(main())
