-- Which characters a name may have: all but U+0001 to U+001F and U+007F, in any encoding. A byte of another character is none of them.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

insert into gov_entity_types (id, display_name) values ('Straße', '通り');
insert into gov_capabilities (id, display_name, unit) values ('größe', '大きさ', '円');
insert into gov_entities (owner_id, id, type_id, display_name) values ('日本', 'Île', 'Straße', 'Ça vâ');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('日本', 'ﬁn', 'Straße', 'Île');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name) values ('日本', 'Île', 'größe', 10, 'Überzug');
select gov_set_alert_policy('日本', '{50}');
select is_granted, remaining from gov_consume('日本', 'größe', 4, '{"ключ": "значение"}', '{ﬁn}', '鍵');
select entity_id, name, current_usage from gov_headroom('日本', 'größe', 1, null, '{ﬁn}');

-- Each control character, in each column that is a name.
create function helper.refused(statement text) returns text
language plpgsql
as $$
declare
    found text;
begin
    execute statement;
    return 'taken';
exception
    when check_violation then
        get stacked diagnostics found = constraint_name;
        return found;
end
$$;

select helper.refused(format(t.statement, quote_literal('a' || c.character || 'b'))) as refused, count(*)
from
    (select chr(n) as character from generate_series(1, 31) as n union all select chr(127)) as c,
    (values
        ('insert into gov_entity_types (id) values (%s)'),
        ('insert into gov_entity_types (id, display_name) values (''x'', %s)'),
        ('insert into gov_capabilities (id) values (%s)'),
        ('insert into gov_capabilities (id, display_name) values (''x'', %s)'),
        ('insert into gov_capabilities (id, unit) values (''x'', %s)'),
        ('insert into gov_entities (owner_id, id, type_id) values (%s, ''x'', ''Straße'')'),
        ('insert into gov_entities (owner_id, id, type_id) values (''日本'', %s, ''Straße'')'),
        ('insert into gov_entities (owner_id, id, type_id, display_name) values (''日本'', ''x'', ''Straße'', %s)'),
        ('insert into gov_assignments (owner_id, entity_id, capability_id, name) values (''日本'', ''Île'', ''größe'', %s)'),
        ('insert into gov_alert_policies (owner_id, thresholds) values (%s, ''{50}'')')) as t (statement)
group by 1
order by 1;

-- A space and what follows it are none.
insert into gov_entities (owner_id, id, type_id) values ('日本', ' ', 'Straße'), ('日本', '~', 'Straße');
