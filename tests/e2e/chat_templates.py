"""Chat templates of our own for chat_template_test.py: between them every statement, filter, test, method and rule of
white space that herd's interpreter has. Data only."""

ROLE = "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"

TEMPLATES = {
    "llama 3": "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + (m['content'] | trim)"
               " + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "white space": "a\n  {% for m in messages %}\n  {{ m.role }}\n  {%- if loop.first %} first \n{% endif -%}\n  \tx {#- note -#} y\n{#note#}\n"
                   "  {%+ if true %}k{% endif +%}\nz{% endfor %}\n\n  {% raw %}{{ no }} {% no %}{% endraw %}\nend\n\n",
    "line breaks": "a\r\nb\r{% if true %}\r\nc{% endif %}\n{{ 'x\ny' }}\r\n",
    "raw with signs": "a {%- raw -%} {{ b }} {%- endraw -%} c {% raw %}\n d {%+ endraw %}\n",
    "alternation": "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate, not ' ~ m.role) }}"
                   "{% endif %}[INST] {{ m.content }} [/INST]{{ eos_token if m.role == 'assistant' }}{% endfor %}",
    "system moved": "{% if messages and messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
                    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}{% if loop.last and system %}<<{{ system }}>>{% endif %}"
                    "{{ m.role | upper }}: {{ m.content | default('-', true) }};{% else %}nobody{% endfor %}",
    "namespace": "{% set ns = namespace(n=0, roles='', found=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.roles = ns.roles ~ m.role[0] %}"
                 "{% if not ns.found and m.role == 'assistant' %}{% set ns.found = true %}{% set inner = ns.n %}{{ inner }}{% endif %}{% endfor %}"
                 "{{ ns.n }} {{ ns.roles }} {{ ns.found }} {{ inner }} {{ ns.none_such }}",
    "loop variables": "{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} "
                      "{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if not loop.last else 'end' }} {{ loop.cycle('a', 'b') }}\n{% endfor %}",
    "break and continue": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role }}{% if loop.index > 3 %}{% break %}{% endif %},{% endfor %}"
                          "{% for m in messages[::-1] if m.role == 'user' %}{{ m.content }}{% break %}{% else %}none{% endfor %}",
    "macros": "{% macro turn(role, text='', end=true) %}" + ROLE.replace("m.role", "role") + "{{ text }}{% if end %}{{ eos_token }}{% endif %}{% endmacro %}"
              "{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}"
              "{{ bos_token }}{% for m in messages %}{{ turn(m.role, text=m.content) }}{% endfor %}{{ turn('assistant', end=false) if add_generation_prompt }}{{ down(3) }}",
    "tools": "{% if tools is not none and tools %}{% for tool in tools %}{% set f = tool.function %}{{ f.name }}: {{ f | tojson }}\n{{ f.parameters | tojson(indent=2) }}\n"
             "{% for name, p in f.parameters.properties.items() %}{{ name }} ({{ p.type }}{{ ', required' if name in f.parameters.required }}) {{ p.default | default('-') }}\n{% endfor %}{% endfor %}"
             "{% endif %}{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for call in m.tool_calls %}{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}"
             "{% endfor %}{% elif m.role == 'tool' %}<{{ m.name | default('tool') }}>{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
    "content of parts": "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content is none %}(none){% elif m.content is iterable %}"
                        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}|{% endfor %}",
    "thoughts": "{% for m in messages %}{% set content = m.content %}{% if content is string and '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
                "<{{ m.role }}>{{ content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{% endif %}{% endif %}",
    "dates": "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}Today: {{ date_string }} {{ strftime_now('%A %B %H:%M:%S %y %m %j %I %p %a %%') }}",
    "texts": "{% for m in messages if m.content is string %}{% set c = m.content %}[{{ c.strip() }}][{{ c.lstrip() }}][{{ c.rstrip('\\n i') }}][{{ c.split() }}][{{ c.split('i', 1) | join('+') }}]"
             "[{{ c.startswith(' ') }}{{ c.endswith(('i', '\\n')) }}][{{ c.replace('i', 'ii', 1) }}][{{ c[:2] }}{{ c[-2:] }}{{ c[::-1] }}][{{ c | length }}{{ c | first }}{{ c | last }}][{{ c | replace('H', 'J') }}]"
             "[{{ c.find('i') }}{{ c.count('i') }}][{{ c * 2 }}][{{ c ~ 1 ~ none ~ true ~ 1.5 }}][{{ c == 'Hi' }}{{ c < 'a' }}{{ c in 'Hi there' }}]\n{% endfor %}",
    "letters": "{% for m in messages %}{{ m.role | title }} {{ m.role.title() }} {{ m.role | capitalize }} {{ m.role.upper() }} {{ 'aB-c d(e'.title() }} {{ 'aB-c d(e' | title }} {{ 'ABC' | lower }}{% if m.content is string %}{{ m.content | upper }}{{ m.content | lower }}{{ m.content | title }}{{ m.content.title() }}{{ m.content | capitalize }}{{ [m.content] }}{% endif %}{% endfor %}"
               "{{ 'ΌΣΟΣ ΑΣ. Σ ΣΣ aΣ\\u0301 Σ\\u00ad' | lower }}{{ 'όσος ǆ ﬃ և ΐ İ ß' | upper }}{{ 'ǆab ﬃx ΐ ΣΑΣ' | title }}{{ 'ǆab-ßΣ ΣΑΣ-ΣΑΣ' | title }}{{ 'ﬁΣ' | capitalize }}",
    "numbers": "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ -2 ** 2 }} {{ 1 + 2 * 3 - 4 }} {{ 1.0 }} {{ 0.1 + 0.2 }} {{ 3 * 1.5 }} {{ 1 < 2 <= 2 != 3 }} {{ true + 1 }} {{ +3 }} {{ -3 | abs }} "
               "{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 3.9 | int }} {{ messages | length % 2 == 0 }} {{ [1, 2, 3] | sum }} {{ [3, 1, 2] | max }}{{ [3, 1, 2] | min }} {{ 10000000000000000.0 }} {{ 0.00001 }}",
    "lists": "{% set xs = ['b', 'A', 'c'] + ['a'] %}{{ xs }} {{ xs | sort }} {{ xs | sort(case_sensitive=true, reverse=true) }} {{ xs | unique | list }} {{ xs | reverse | list }} {{ xs[1:3] }} {{ xs[-1] }} {{ xs[9] is defined }} {{ xs | join(', ') }} "
             "{{ 'A' in xs }} {{ 'z' not in xs }} {{ xs | map('upper') | join }} {{ messages | map(attribute='role') | unique | join(' ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} "
             "{{ messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='role') | list }} {{ [1, 2, 3, 4] | select('even') | list }} {{ [0, 1] | reject | list }} {{ [[1, 2], [3]] == [[1, 2], [3]] }} {{ (1,) }} {{ () }} {{ (1, 'b') }} {{ range(2, 9, 3) | list }} {{ [1] * 3 }}",
    "dicts": "{% set d = {'b': 1, 'a': {'x': [true, none]}} %}{{ d }} {{ d | tojson }} {{ d | tojson(sort_keys=true, separators=(',', ':')) }} {{ d | dictsort }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list | length }} {{ d | length }} {{ d | list }} "
             "{{ d.get('b') }} {{ d.get('z', 'no') }} {{ d.get('z') }} {{ 'a' in d }} {{ d.a.x[0] }} {{ d['a']['x'] | length }} {{ d.z is defined }} {{ d == {'a': {'x': [true, none]}, 'b': 1} }} {{ dict(d, c=2) }} {% for k, v in d | items %}{{ k }}:{{ v }} {% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "json of text": "{% for m in messages %}{{ m | tojson }}{{ m.content | tojson(ensure_ascii=true) }}{% endfor %}{{ messages | tojson(indent=4) }}{{ [] | tojson(indent=2) }}{{ 1.0 | tojson }}{{ {} | tojson(indent=1) }}",
    "tests": "{% for x in [1, 1.5, 'a', true, none, [], {}, missing] %}{{ x is defined }}{{ x is none }}{{ x is string }}{{ x is number }}{{ x is integer }}{{ x is float }}{{ x is boolean }}{{ x is mapping }}{{ x is sequence }}{{ x is iterable }}{{ x is true }}{{ x is not undefined }}\n{% endfor %}"
             "{{ 3 is odd }}{{ 4 is even }}{{ 9 is divisibleby 3 }}{{ 1 is eq 1 }}{{ 1 is ne(2) }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 'a' is in ['a'] }}{{ 'x' is equalto 'y' }}",
    "blocks of text": "{% set head %}\n <{{ messages | length }}> \n{% endset %}[{{ head }}]{% set loud | trim | upper %} quiet {% endset %}[{{ loud }}]{% filter replace('o', '0') | upper %}foo {{ 'bo' }}{% endfilter %}"
                      "{% with a = 1, b = 'x' %}{{ a }}{{ b }}{% endwith %}{{ a }}{% set p, q = 'pq' %}{{ q }}{{ p }}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}\n{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "indented": "{% for m in messages %}{{ m.content | string | indent }}|{{ 'a\\n\\nb' | indent(2, first=true) }}|{{ 'a\\n\\nb' | indent('> ', blank=true) }}\n{% endfor %}",
    "scopes": "{% set x = 'out' %}{% for m in messages %}{{ x }}{% set x = m.role %}{{ x }}{% if loop.first %}{% set y = 1 %}{% endif %}{{ y }};{% endfor %}{{ x }}{{ y }}"
              "{% for a in [1, 2] %}{% for b in 'xy' %}{{ a }}{{ b }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop }}",
    "undefined": "{{ missing }}{{ missing | default('d') }}{{ missing | length }}{% for x in missing %}{% endfor %}{{ missing ~ 'a' }}{{ missing or 'b' }}{{ missing == none }}{{ [missing] }}{{ 'a' if missing }}{{ missing | trim }}{{ missing.deeper }}",
    "safe": "{% for m in messages %}{{ m.content | safe }}{{ m | tojson | safe }}{% endfor %}",
    "escapes": r"{{ 'a\tb\\n\'\"\x41\u00e9\u65e5\U0001F600\101\q' }}{{ 'one' " + '"two"' + r" }}",
    "calls": "{% macro box(kind, end='') %}<{{ kind }}>{{ caller(loop_name='x') if caller is defined }}</{{ kind }}>{{ end }}{% endmacro %}{% macro all() %}{{ varargs | join('+') }}|{{ kwargs | dictsort }}{% endmacro %}"
             "{% for m in messages %}{% call(loop_name, more='-') box(m.role, end='\n') %}{{ m.content }}{{ loop_name }}{{ more }}{{ loop.index }}{% endcall %}{% endfor %}{{ box('alone') }}"
             "{{ all(1, 'b', c=messages | length, *[2, 3], **{'d': 4}) }}",
    "macros in loops": "{% for m in messages %}{% macro say(what) %}{{ m.role }}:{{ what }}{{ loop.index }};{% endmacro %}{% if m.content is string %}{{ say(m.content) }}{% endif %}{% with q = 1 %}{% macro inner() %}{{ q }}{{ m.role }}{% endmacro %}"
                       "{{ inner() }}{% endwith %}{% endfor %}{% macro f() %}{{ late }}{% endmacro %}{{ f() }}{% set late = 'L' %}{{ f() }}",
    "trees": "{% set tree = [{'n': 'a', 'c': [{'n': 'b', 'c': []}, {'n': 'c', 'c': [{'n': 'd', 'c': []}]}]}, {'n': 'e', 'c': []}] %}{% for t in tree recursive %}{{ loop.depth }}{{ t.n }}{{ loop.index }}/{{ loop.length }}"
             "{% if t.c %}[{{ loop(t.c) }}]{% endif %}{% else %}none{% endfor %}{% for m in messages %}{{ m.role if loop.changed(m.role) }}{{ loop.depth0 }}{% endfor %}",
    "formats": "{% for m in messages %}{{ '%s: %s|%-9s|%9s|%.2s' % (m.role, m.content, m.role, m.role, m.role) }}{{ '%s' | format(m.content) }}{{ '<{}>{{}}{}'.format(m.role, m.content) }}{{ '{0}{1}{0}{x.role}{x[role]}'.format(m.role, '-', x=m) }}{{ '{:>9}|{:*^9}|{:.2}'.format(m.role, m.role, m.role) }}\n{% endfor %}"
               "{{ '%d %5d|%-5d|%05d %+d %x %X %o %i %%' % (1, -2, 3, 4, 5, 255, 255, 8, 2.9) }} {{ '%f %.2f %e %g %8.3f|%-8.1f|' % (1.5, 2, 12345.678, 0.0001, 3.14159, 2.5) }} {{ '%(a)s-%(b)r' % {'a': 1, 'b': 'x'} }} {{ '%s %r' % ([1, 'a'], 'q') }}"
               " {{ '{:d} {:5d}|{:<5}|{:05d} {:+} {:x} {:,} {:_}'.format(1, 2, 3, 4, 5, 255, 1234567, 1000) }} {{ '{:.2f} {:e} {:%} {:g} {!r} {!s}'.format(2.5, 3.0, 0.25, 1.5, 'a', [1]) }} {{ '{}'.format(none) }}",
    "markup": "{% for m in messages %}{{ ('<b>' | safe) + m.content | string + '\n' }}{{ ('<' | safe) ~ '<' }}{{ m.content | string | e }}{{ ('&' | safe) * 2 }}{{ ['<' | safe] }}{{ (m.role | safe).upper() + '\"' }}{{ ('<%s>' | safe) % m.role }}{{ ('a<b' | safe).split('<') | first + '>' }}"
              "{{ (m | tojson | safe) + '>' }}{{ '<' | e | e }}{{ '<' | e | forceescape }}{{ ('x' | safe) is escaped }}{{ 'x' is escaped }}{{ ('<' | safe).join(['>', m.role]) }}{{ ('a' | safe).replace('a', '<') }}{{ ('a' | safe) | replace('a', '<') }}\n{% endfor %}",
    "more methods": "{% for m in messages if m.content is string %}{% set c = m.content %}{{ c.rsplit(' ', 1) }}{{ c.rsplit(none, 1) }}{{ c.rsplit() }}{{ c.partition('i') }}{{ c.rpartition('i') }}{{ c.removeprefix(' ') }}{{ c.removesuffix('i') }}{{ c.splitlines() }}{{ c.find('') }}{{ c.rfind('i') }}"
                    "{{ m.role.center(9) }}|{{ m.role.center(10, '*') }}|{{ m.role.ljust(9, '.') }}{{ m.role.rjust(9) }}{{ '-7'.zfill(4) }}{{ m.role | center(12) }}|{{ c.count('') }}{{ 'aaa'.rsplit('aa') }}{{ 'a.b.c'.rsplit('.', 1) }}{{ 'abcabc'.rindex('b') }}\n{% endfor %}"
                    "{{ [1, 2, 1].count(1) }}{{ [1, 2, 1].index(2) }}{{ [1].copy() }}{{ {'a': 1}.copy() }}{{ (1, 2).index(2) }}",
    "asks first": "{% if false %}{{ 'x' | no_such_filter }}{% endif %}{{ 'a' if true else 'x' | no_such_filter }}{% if 'tojson' is filter and 'defined' is test %}ok{% elif 'x' is no_such_test %}{% endif %}",
    "prints": "{% print messages | length, 'a' %}{% print 'b' %}",
    "more numbers": "{{ 1_000 }} {{ 0x1F }} {{ 0o17 }} {{ 0b101 }} {{ 1e3 }} {{ 1.5E-3 }} {{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 2.0 ** 3 }} {{ 2 ** 0.5 }} {{ 2.7 | round }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }}",
    "keys": "{% set d = {1: 'a', 2.5: 'b', none: 'c', true: 'd', 'x': 'e'} %}{{ d }} {{ d | tojson }} {{ d[1] }}{{ d[1.0] }}{{ d[none] }}{{ d['x'] }}{{ d[7] is defined }} {{ 1 in d }}{{ '1' in d }}{{ d.get(2.5) }}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %} {{ {2: 1, 10: 2} | dictsort }}",
    "nothing": "{{ none | map('upper') | list }}{{ 0 | select | list }}{{ missing | selectattr('x') | list }}{{ {} | rejectattr('x') | list }}",
    "more lists": "{{ [3, 1, 2] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ messages | map(attribute='role') | unique | list }} {{ messages | unique(attribute='role') | list | length }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ [[2], [1, 5], [1]] | sort }} {{ [1, 2] < [1, 3] }} "
                  "{{ [{'n': 2}, {'n': 1}] | max(attribute='n') }} {{ 'a b-c' | wordcount }} {{ messages | attr('role') is defined }} {{ [1] == (1,) }} {{ range(3) == range(0, 3) }} {{ 'a' == 1 }} {{ true is sameas true }} {{ none is sameas false }} {{ 'AB' is upper }} {{ 'Ab' is lower }} {{ range is callable }} {{ [1, 2, 3] | select('>', 1) | list }}",
}

# The oracle of marks knows of Markup only that "+" escapes.
UNMARKED = {"markup"}

# Each of these herd does not have: an error that names it.
UNSUPPORTED = {
    "include": "{% include 'x' %}", "block": "{% block x %}{% endblock %}", "joiner": "{{ joiner(', ') }}", "truncate": "{{ 'x' | truncate }}",
    "mutation": "{{ messages.append(1) }}", "private": "{{ messages.__class__ }}", "list key": "{{ {(1, 2): 2} }}", "upper": "{{ 'Ä' is upper }}",
    "swapcase": "{{ 'x'.swapcase() }}", "several": "{{ messages[0, 1] }}",
}
