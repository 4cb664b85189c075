"""The code blocks of a page of the documentation, as tests/e2e/docs.bats runs them.

    docs.py LANGUAGE PAGE          prints the blocks of that language; as `sh`, one script for the page
    docs.py excepted PAGE...       prints the blocks that are not run, each with the reason its page gives

A block is run unless the line before it is <!-- not run: REASON -->. In a script each command that ends in a comment
`# 400: ...` is expected to be answered with that status, all others with 2xx; what ends in & is a stream that is waited for.
"""
import re
import sys

FENCE = re.compile(r'^( *)```(\w*)\n(.*?)^ *```$', re.M | re.S)
EXCEPTION = re.compile(r'<!-- not run: (.+) -->\s*$')


def blocks(page):
    """(language, text, line, reason or None) of each block."""
    with open(page, encoding='utf-8') as f:
        text = f.read()
    for m in FENCE.finditer(text):
        before = text[:m.start()].rstrip('\n').rsplit('\n', 1)[-1]
        reason = EXCEPTION.search(before)
        indent = len(m[1])
        lines = [line[indent:] for line in m[3].splitlines()]
        yield m[2], '\n'.join(lines), text.count('\n', 0, m.start()) + 2, reason and reason[1]


def commands(text, first):
    """(line, command) of each command: lines that end in a backslash belong together."""
    whole, start = '', first
    for number, line in enumerate(text.splitlines(), first):
        whole, start = (whole + '\n' + line, start) if whole else (line, number)
        if not line.endswith('\\'):
            yield start, whole
            whole = ''


def script(page):
    out = []
    for language, text, first, reason in blocks(page):
        if language != 'sh' or reason:
            continue
        for line, command in commands(text, first):
            if not command.strip() or command.lstrip().startswith('#'):
                continue
            status = re.search(r'#\s*(\d{3})\b[^\n]*$', command)
            out.append(f'LINE={page}:{line}')
            out.append(f'WANT={status[1] if status else ""}')
            out.append(command)
            if re.search(r'&\s*(#.*)?$', command):
                out.append('docs_settle')
        out.append('docs_block_ends')
    return '\n'.join(out)


def main():
    if sys.argv[1] == 'excepted':
        for page in sys.argv[2:]:
            for language, text, line, reason in blocks(page):
                if reason:
                    print(f'{page}:{line}: {language or "text"}: {reason}')
    elif sys.argv[1] == 'sh':
        print(script(sys.argv[2]))
    else:
        for language, text, line, reason in blocks(sys.argv[2]):
            if language == sys.argv[1] and not reason:
                print(text, end='\n\0')


main()
