# examples/bi: every query, and every query of the dashboard, is run as the role that schema.sql makes, against a ledger whose answers are known;
# those that a customer may run, as a pinned tenant too, who has to see of the reader's rows its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $bi = "$FindBin::RealBin/../../examples/bi";
my $node = gov_node('bi', conf => "timezone = 'UTC'");

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('team', '{}'), ('user', '{userId}'), ('model', '{model}');
insert into gov_capabilities (id) values ('ai-tokens'), ('ai-images'), ('ai-video');
insert into gov_entities (owner_id, id, type_id, parent_id)
select o, e.id, e.type_id, e.parent_id
from unnest(array['acme', 'zeta', 'o''hara']) o,
	(values ('org', 'org', null), ('eng', 'team', 'org'), ('ops', 'team', 'org'), ('ann', 'user', 'eng'), ('ben', 'user', 'ops'), ('cyd', 'user', 'org'),
		('old', 'user', 'ops'), ('gpt-large', 'model', null)) e (id, type_id, parent_id);
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement, locked, alert_thresholds)
select o, b.*
from unnest(array['acme', 'zeta', 'o''hara']) o,
	(values
		('org', 'ai-tokens', '', 1000000::numeric, 'P1M', 'hard', false, '{90}'::numeric[]),
		('eng', 'ai-tokens', '', 600000, 'P1M', 'hard', true, null),
		('ops', 'ai-tokens', '', 300000, 'P1M', 'hard', false, null),
		('ann', 'ai-images', '', 10, null, 'hard', false, '{}'),
		('ben', 'ai-images', '', 5, null, 'soft', false, null),
		('ben', 'ai-images', 'capped', 4, null, 'hard', false, null),
		('ann', 'ai-video', '', 10, null, 'hard', false, null),
		('ops', 'ai-video', 'spare', 7, 'P1M', 'hard', false, null),
		('ops', 'ai-video', 'counted', null, 'P1M', 'hard', false, null),
		('old', 'ai-tokens', '', 100, 'P1M', 'hard', false, null)) b;
insert into gov_alert_policies (owner_id, thresholds) values ('zeta', '{80}');
select gov_archive_entities(o, '{old}') from unnest(array['acme', 'zeta', 'o''hara']) o;

-- Two months and a half of use, of users, of teams, of a model alone and of nobody.
select count(*)
from unnest(array['acme', 'zeta', 'o''hara']) with ordinality o (id, place), generate_series(1, 400) n
cross join lateral gov_ingest(
	o.id,
	case when n % 5 = 0 then 'ai-images' else 'ai-tokens' end,
	case when n % 5 = 0 then 0.5 else n * 10 + o.place end,
	jsonb_strip_nulls(jsonb_build_object('model', (array['gpt-large', 'other', null])[1 + n % 3], 'feature', (array['chat', 'search', null])[1 + n % 3 % 2])),
	case n % 7 when 0 then '{}' when 1 then '{ann}' when 2 then '{ben}' when 3 then '{ann,ben}' when 4 then '{cyd}' else '{ops,ann}' end::text[],
	null,
	now() - n * interval '4.3 hours' - interval '1 hour') i
where n % 5 > 0 or n > 200;

-- What has just been used, and is held.
select count(*) from unnest(array['acme', 'zeta', 'o''hara']) o, generate_series(1, 9) n, gov_ingest(o, 'ai-images', 1, null, '{ann}', 'ann-' || n, now() - interval '3 minutes') i;
select count(*) from unnest(array['acme', 'zeta', 'o''hara']) o, generate_series(1, 8) n, gov_ingest(o, 'ai-images', 1, null, '{ben}', 'ben-' || n, now() - interval '3 minutes') i;
select count(*) from unnest(array['acme', 'zeta', 'o''hara']) o, gov_reserve(o, 'ai-video', 10, null, '{ann}', null, '1 hour') r where is_granted;

create role customer login;
alter role customer set governance.owner = 'acme';
select gov_grant('customer', 'tenant');
SQL
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$bi/schema.sql" ], 'schema.sql');
$node->safe_psql('postgres', <<'SQL');
grant select on ai_prices, ai_costs to customer;
insert into ai_prices (capability_id, valid_from, price) values ('ai-images', date_trunc('month', now())::date, 0.05);
insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit, raised_at)
select owner_id, id, 70, timestamptz '-infinity', 9, 10, now() - interval '1 hour' from gov_assignments where entity_id = 'ann' and capability_id = 'ai-images'
union all
select owner_id, id, 50, '-infinity', 5, 10, now() - interval '30 hours' from gov_assignments where entity_id = 'ann' and capability_id = 'ai-images';
SQL
gov_roll_up($node, 'postgres');

# What an event costs, said in another way.
my $price = q{case
	when e.capability_id = 'ai-images' then case when e.occurred_at >= date_trunc('month', now()) then 0.05 else 0.04 end
	when e.capability_id = 'ai-tokens' then case when e.dimensions ->> 'model' = 'gpt-large' then 0.00001 else 0.000002 end
end};

# ---------------------------------------------------------------- the files

sub query_of
{
	my ($file) = @_;

	return slurp_file("$bi/$file") =~ s/;\s*\z//r;
}

# In one transaction, so that it is one time and one snapshot.
sub run_as
{
	my ($role, @statements) = @_;
	my $begin = "begin isolation level repeatable read;\n"
	  . ($role eq 'customer' ? "set local governance.owner = 'acme';\n" : '') . "set local role $role;\n";
	my ($out, $err) = ('', '');

	my $status = $node->psql('postgres', join('', $begin, map({ "$_;\n" } @statements), "commit;\n"),
		stdout => \$out, stderr => \$err, on_error_stop => 1, on_error_die => 0);
	return $status == 0 ? $out : $err;
}

# The reader's answer and what it has to be.
sub answers
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($file, $columns, $truth, $name) = @_;
	my $out = $node->safe_psql('postgres', "begin isolation level repeatable read;\nset local role bi;\nselect $columns from (\n" . query_of($file) . "\n) q;\n\\echo ----\nreset role;\n$truth;\ncommit");
	my ($got, $wanted) = split /^----\n/m, "$out\n", 2;

	is($got, $wanted, "$file: $name");
	isnt($wanted, "\n", "$file: there is something to compare");
	return;
}

my @files = map { s{^\Q$bi\E/}{}r } sort glob "$bi/*/*.sql";
my %for_the_vendor = map { $_ => 1 } qw(oncall/rollup.sql oncall/cache.sql oncall/holding_the_rollup.sql);
my $readme = slurp_file("$bi/README.md");

cmp_ok(scalar @files, '>=', 21, 'there are queries');
foreach my $file (@files)
{
	my $sql = slurp_file("$bi/$file");

	like($sql, qr/\A-- [^\n]+\.( [^\n]*)?\n(with|select)\b/, "$file: a line says what for");
	ok(index($readme, "($file)") >= 0, "$file: the README has it");
	my $query = query_of($file);
	my $read = run_as('bi', $query);
	unlike($read, qr/ERROR/, "$file: runs");
	unlike($read, qr/infinity/, "$file: has no time that clients cannot read");
	if ($for_the_vendor{$file})
	{
		like(run_as('customer', $query), qr/permission denied|pinned/, "$file: not for a customer");
		next;
	}

	# the owner is the first column, or nothing would tell whose it is
	my $name = $node->safe_psql('postgres', "create view shape as $query; select attname from pg_attribute where attrelid = 'shape'::regclass and attnum = 1; drop view shape");
	is($name, 'owner_id', "$file: by owner");
	my $both = $node->safe_psql('postgres', <<SQL);
begin isolation level repeatable read;
set local role bi;
select * from ($query
) q where owner_id = 'acme';
reset role;
\\echo ----
set local governance.owner = 'acme';
set local role customer;
$query;
commit;
SQL
	my ($reader, $tenant) = split /^----\n?/m, "$both\n", 2;
	is(join("\n", sort split /\n/, $tenant), join("\n", sort split /\n/, $reader), "$file: a customer sees its own")
	  if $file ne 'oncall/burning.sql';	# the fifty fastest of all
	unlike($tenant, qr/^(?:zeta|o'hara)\|/m, "$file: and of nobody else");
}

# ---------------------------------------------------------------- the answers

my $ledger = 'from gov_events e where e.occurred_at >=';
my $this_month = q{date_trunc('month', now())};
my $last_month = q{date_trunc('month', now()) - interval '1 month'};

answers('finance/cost_per_day.sql', 'sum(amount), abs(sum(cost) - (select sum(amount * price) from ai_costs where occurred_at >= ' . $last_month . ')) < 0.005 * count(*)',
	"select sum(amount), true $ledger $last_month", 'the ledger, no event twice');
answers('finance/cost_per_day.sql', q{string_agg(concat_ws(' ', owner_id, team, product, model, capability_id, amount), ',' order by owner_id, day, team, product, model, capability_id)},
	qq{select string_agg(concat_ws(' ', owner_id, team, product, model, capability_id, amount), ',' order by owner_id, day, team, product, model, capability_id)
		from (select owner_id, occurred_at::date as day, case when 'eng' = any (entity_ids) and entity_ids[1] = 'ann' then 'eng' when 'ops' = any (entity_ids) then 'ops' end as team,
			dimensions ->> 'feature' as product, dimensions ->> 'model' as model, capability_id, sum(amount) as amount
		$ledger $last_month group by 1, 2, 3, 4, 5, 6) s}, 'of the first team that is named, its product and model');
answers('finance/cost_per_month.sql', 'sum(amount), count(distinct month) between 3 and 4', "select sum(amount), true $ledger '-infinity'", 'all months');
answers('finance/month_to_date.sql', 'sum(this_month), sum(last_month), sum(last_month_so_far)',
	"select sum(amount) filter (where e.occurred_at >= $this_month), sum(amount) filter (where e.occurred_at < $this_month),
		sum(amount) filter (where e.occurred_at < $this_month and e.occurred_at < $last_month + (now() - $this_month)) $ledger $last_month", 'the ledger');
answers('finance/month_to_date.sql', 'sum(cost_this_month), sum(cost_last_month)',
	"select sum(a), sum(b) from (select round(sum(e.amount * $price) filter (where e.occurred_at >= $this_month), 2) a, round(sum(e.amount * $price) filter (where e.occurred_at < $this_month), 2) b
		$ledger $last_month group by e.owner_id, e.capability_id) s", 'prices by model and day');
answers('finance/top_users.sql', q{string_agg(concat_ws(' ', owner_id, capability_id, place, entity_id, amount), ',' order by owner_id, capability_id, place)},
	qq{select string_agg(concat_ws(' ', owner_id, capability_id, place, who, trim_scale(amount)), ',' order by owner_id, capability_id, place)
		from (select owner_id, capability_id, who, sum(amount) as amount, row_number() over (partition by owner_id, capability_id order by sum(amount) desc, who) as place
			from gov_events e, unnest('{ann,ben,cyd}'::text[]) who where who = any (entity_ids) and date_trunc('hour', occurred_at) >= $this_month group by 1, 2, 3) s}, 'the users of the ledger');
answers('finance/forecast.sql', q{string_agg(concat_ws(' ', owner_id, capability_id, entity_id, this_month, forecast), ',' order by owner_id, capability_id, entity_id)},
	qq{select string_agg(concat_ws(' ', owner_id, capability_id, team, trim_scale(coalesce(month, 0)), round(coalesce(month, 0) + coalesce(week, 0)
			* (extract(epoch from $this_month + interval '1 month' - now()) / 604800)::numeric, 2)), ',' order by owner_id, capability_id, team)
		from (select owner_id, capability_id, team, sum(amount) filter (where date_trunc('hour', occurred_at) >= $this_month) as month,
				sum(amount) filter (where occurred_at >= date_trunc('day', now()) - interval '7 days' and occurred_at < date_trunc('day', now())) as week
			from gov_events e, unnest('{eng,ops}'::text[]) team where team = any (entity_ids) and occurred_at >= least($this_month, date_trunc('day', now()) - interval '7 days') group by 1, 2, 3) s}, 'the ledger, and the week\'s rate for the rest of the month');
answers('finance/unattributed.sql', 'sum(without_entity), sum(without_team)',
	"select sum(amount) filter (where entity_ids = '{}'), sum(amount) filter (where entity_ids <> '{}') $ledger date_trunc('day', now()) - interval '1 month' and not entity_ids && '{eng,ops}'", 'nobody\'s, and no team\'s');
answers('finance/chargeback.sql', 'sum(events), sum(amount), sum(cost)',
	"select count(*), sum(amount), sum(amount * $price) $ledger $last_month and e.occurred_at < $this_month", 'the bills are the ledger, exactly');

sub rows_are
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($file, $columns, $wanted) = @_;

	is(run_as('bi', "select concat_ws(' ', $columns) from (\n" . query_of($file) . "\n) q where owner_id = 'acme'"), $wanted, "$file: what is there");
	return;
}

# the images of the past went to the same budgets, when they were made before: they never reset, so all of it counts
my ($ann, $ben) = map { $node->safe_psql('postgres', "select trim_scale(sum(amount)) from gov_events where owner_id = 'acme' and capability_id = 'ai-images' and '$_' = any (entity_ids)") } qw(ann ben);
my $over = join "\n", map { $_->[1] } sort { $b->[0] <=> $a->[0] } [ $ben / 4, "ben ai-images capped $ben" ], [ $ben / 5, "ben ai-images  $ben" ], [ $ann / 10, "ann ai-images  $ann" ], [ 0, 'ann ai-video  0' ];
rows_are('admin/over_80_percent.sql', 'entity_id, capability_id, name, current_usage', $over);
rows_are('admin/soft_overages.sql', 'entity_id, capability_id, name, overage', 'ben ai-images  ' . ($ben - 5));
rows_are('admin/unused.sql', 'entity_id, capability_id, name', "ann ai-video \nops ai-video spare");
rows_are('admin/allocation_left.sql', 'entity_id, capability_id, allocated, unallocated', 'org ai-tokens 900000 100000');
rows_are('admin/locked.sql', 'entity_id, capability_id', 'eng ai-tokens');
rows_are('admin/archived_with_budgets.sql', 'entity_id, budgets', 'old 1');
rows_are('admin/without_alerts.sql', 'entity_id, capability_id, name',
	join "\n", 'ann ai-images ', 'ann ai-video ', 'ben ai-images ', 'ben ai-images capped', 'eng ai-tokens ', 'ops ai-tokens ', 'ops ai-video spare');
is(run_as('bi', 'select distinct entity_id from (' . query_of('admin/without_alerts.sql') . "\n) q where owner_id = 'zeta'"), 'ann', 'a policy of the customer counts, and an empty list is none');
rows_are('oncall/open_holds.sql', 'capability_id, amount, budgets', 'ai-video 10 1');
rows_are('oncall/denying.sql', 'entity_id, capability_id, name, because', join "\n", ($ann >= 10 ? 'ann ai-images  used' : ()), 'ann ai-video  held', 'ben ai-images capped used');
like(run_as('bi', "select entity_id, events, amount from (\n" . query_of('oncall/burning.sql') . "\n) q where owner_id = 'acme' and entity_id in ('ann', 'ben', 'org')"),
	qr/\Aorg\|17\|17\nann\|9\|9\nben\|8\|8\z/, 'oncall/burning.sql: the last quarter of an hour');
like(run_as('bi', "select entity_id, threshold from (\n" . query_of('oncall/alerts.sql') . "\n) q where owner_id = 'acme'"), qr/^ann\|70$/m, 'oncall/alerts.sql: that of today');
unlike(run_as('bi', "select entity_id, threshold from (\n" . query_of('oncall/alerts.sql') . "\n) q where owner_id = 'acme'"), qr/^ann\|50$/m, 'oncall/alerts.sql: not that of yesterday');
is(run_as('bi', "select name, value from (\n" . query_of('oncall/rollup.sql') . "\n) q where name = 'rollup_lag_events'"), 'rollup_lag_events|0', 'oncall/rollup.sql: no lag');
like(run_as('bi', query_of('oncall/cache.sql')), qr/^\d+\|\d+\|67108864\|/, 'oncall/cache.sql: a size');

my $idle = $node->background_psql('postgres');
my $pid = $idle->query_safe('select pg_backend_pid()');
$idle->query_safe(q{begin; select gov_ingest('acme', 'ai-tokens', 1)});
like(run_as('bi', query_of('oncall/holding_the_rollup.sql')), qr/^$pid\|\w+\|[^|]*\|idle in transaction\|[\d:.]+\|/m, 'oncall/holding_the_rollup.sql: the idle one');
$idle->query_safe('rollback');
$idle->quit;

# A reader's look at the budgets reads nothing of a ledger that is rolled up.
is( $node->safe_psql('postgres', q{begin; set local role bi; select count(*) > 20 from gov_budgets; reset role;
	select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from pg_stat_xact_user_tables where relname = 'gov_events'; commit}),
	"t\n0", 'the budgets of a reader are not summed from the ledger');

# ---------------------------------------------------------------- the dashboard

my $dashboard = decode_json(slurp_file("$bi/grafana/budgets.json"));
my %variables = map { $_->{name} => $_ } @{ $dashboard->{templating}{list} };
my ($from, $to) = split /\|/, $node->safe_psql('postgres', q{select to_char(now() - interval '20 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(now() + interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')});
my %seconds = (s => 1, m => 60, h => 3600, d => 86400);

# What Grafana puts in place of its macros and variables.
sub expand
{
	my ($sql, %value) = @_;

	$sql =~ s/\$\{(\w+):sqlstring\}/"'" . ($value{$1} =~ s{'}{''}gr) . "'"/ge;
	$sql =~ s/\$__timeFilter\(([^)]+)\)/$1 BETWEEN '$from' AND '$to'/g;
	$sql =~ s/\$__timeGroupAlias\(([^,]+), *'(\d+)(\w)'\)/my $n = $2 * $seconds{$3}; "floor(extract(epoch from $1)\/$n)*$n AS \"time\""/ge;
	$sql =~ s/\$__timeFrom\(\)/'$from'/g;
	$sql =~ s/\$__timeTo\(\)/'$to'/g;
	die "not a macro of Grafana: $sql" if $sql =~ /\$/;
	return $sql;
}

sub run_panel
{
	my ($sql, %value) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', expand($sql, capability => 'ai-tokens', type => 'user', %value), stdout => \$out, stderr => \$err, extra_params => [ '-U', 'bi' ]);
	return $err =~ /ERROR/ ? $err : $out;
}

is($dashboard->{templating}{list}[0]{query}, 'grafana-postgresql-datasource', 'the data source is chosen');
foreach my $variable (grep { $_->{type} eq 'query' } values %variables)
{
	unlike(run_panel($variable->{query}), qr/ERROR|\A\z/, "the choices of $variable->{name}");
}
is(run_panel($variables{owner}{query}), "acme\no'hara\nzeta", 'the owners');

my (%panel, %taken);
foreach my $panel (@{ $dashboard->{panels} })
{
	my ($title, $place) = @{$panel}{qw(title gridPos)};
	my $sql = $panel->{targets}[0]{rawSql};

	ok(!$panel{$title} && !grep({ $_->{id} == $panel->{id} } values %panel), "$title: a title and an id of its own");
	$panel{$title} = $panel;
	foreach my $x ($place->{x} .. $place->{x} + $place->{w} - 1)
	{
		$taken{"$x,$_"}++ foreach $place->{y} .. $place->{y} + $place->{h} - 1;
	}
	foreach my $source ($panel->{datasource}, $panel->{targets}[0]{datasource})
	{
		is("$source->{type} $source->{uid}", 'grafana-postgresql-datasource ${datasource}', "$title: of that data source");
	}
	is(join(' ', grep { !$variables{$_} } $sql =~ /\$\{(\w+)/g), '', "$title: its variables are there");
	foreach my $owner ('acme', q{o'hara}, 'nobody')
	{
		unlike(run_panel($sql, owner => $owner), qr/ERROR/, "$title: runs for $owner");
	}
	next unless $panel->{targets}[0]{format} eq 'time_series';
	is($node->safe_psql('postgres', 'create view shape as ' . expand($sql, owner => 'acme', capability => 'ai-tokens', type => 'user')
		. q{; select string_agg(attname || ' ' || format_type(atttypid, null), ', ' order by attnum) from pg_attribute where attrelid = 'shape'::regclass; drop view shape}),
		'time numeric, metric text, value numeric', "$title: as a series");
}
is(join(' ', grep { $taken{$_} > 1 } sort keys %taken), '', 'no panel covers another');
unlike(run_panel($dashboard->{annotations}{list}[0]{target}{rawSql}, owner => q{o'hara}), qr/ERROR|\A\z/, 'alerts are marked');

sub panel_sum
{
	my ($title, $column, %value) = @_;
	return run_panel("select sum($column) from (\n$panel{$title}{targets}[0]{rawSql}\n) q", owner => 'acme', %value);
}

is(panel_sum('Usage per hour', 'value', type => 'team'),
	$node->safe_psql('postgres', "select trim_scale(sum(amount)) from gov_events, unnest('{eng,ops}'::text[]) t where owner_id = 'acme' and capability_id = 'ai-tokens' and t = any (entity_ids) and date_trunc('hour', occurred_at) between '$from' and '$to'"),
	'Usage per hour: the ledger\'s');
is(panel_sum('Burn rate', 'value', capability => 'ai-images'), '17', 'Burn rate: the ledger\'s');
is(panel_sum('Open holds', '"held"', capability => 'ai-video'), '10', 'Open holds: what is held');
is(run_panel("select count(*), trim_scale(max(percent)) from (\n$panel{Budgets}{targets}[0]{rawSql}\n) q", owner => 'acme', capability => 'ai-images'), '3|' . 100 * $ben / 4, 'Budgets: each');
like(run_panel($panel{Alerts}{targets}[0]{rawSql}, owner => 'acme', capability => 'ai-images'), qr/\|ann\|70\|9\|10/, 'Alerts: with budget and threshold');
like(run_panel($panel{'Spent first'}{targets}[0]{rawSql}, owner => 'acme', capability => 'ai-images'), qr/^(ann|ben)\|0\.\d+\|/m, 'Spent first: those in use');

$node->stop;
done_testing();
