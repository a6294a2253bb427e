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
    "letters": "{% for m in messages %}{{ m.role | title }} {{ m.role.title() }} {{ m.role | capitalize }} {{ m.role.upper() }} {{ 'aB-c d(e'.title() }} {{ 'aB-c d(e' | title }} {{ 'ABC' | lower }}{% endfor %}",
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
}

# Each of these herd does not have: an error that names it.
UNSUPPORTED = {
    "include": "{% include 'x' %}", "call": "{% call m() %}{% endcall %}", "recursive": "{% for x in y recursive %}{% endfor %}",
    "joiner": "{{ joiner(', ') }}", "format": "{{ '%s' | format(1) }}", "percent": "{{ '%s' % 'x' }}", "escape": "{{ '<' | e }}",
    "truncate": "{{ 'x' | truncate }}", "mutation": "{{ messages.append(1) }}", "private": "{{ messages.__class__ }}",
    "markup": "{{ ('<' | safe) ~ '<' }}", "starred": "{{ dict(**messages[0]) }}", "number": "{{ 0x10 }}", "int key": "{{ {1: 2} }}",
    "upper": "{{ 'ä' | upper }}", "center": "{{ 'x'.center(3) }}",
}
