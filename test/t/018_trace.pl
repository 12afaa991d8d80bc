# A real hour of LLM requests through gov_ingest_many: what every entity has used equals a sum of the file
# made here, by the budgets and by the hourly attribution.
#
# The trace is the Azure LLM inference trace 2023 (conversations; Patel et al., "Splitwise", ISCA 2024), which is
# no part of this tree: GOVERNANCE_TRACE names it, or it lies in ../shared/data.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant { USERS => 30, AGENTS => 60, BATCH => 500 };

my $trace = $ENV{GOVERNANCE_TRACE}
  || "$FindBin::RealBin/../../../shared/data/azure_llm_conv_2023.csv";
plan skip_all => 'the trace is not here' unless -r $trace;

# org ── 3 departments ── 6 teams ── 30 users ── 60 agents, and 3 models: child => parent
my %parent = (
	org => undef,
	(map { ("dept-$_" => 'org') } 0 .. 2),
	(map { ("team-$_" => 'dept-' . $_ % 3) } 0 .. 5),
	(map { ("user-$_" => 'team-' . $_ % 6) } 0 .. USERS - 1),
	(map { ("agent-$_" => 'user-' . $_ % USERS) } 0 .. AGENTS - 1),
	(map { ("model-$_" => undef) } 0 .. 2));

my $node = gov_node('trace');

my @ids = sort keys %parent;
$node->safe_psql('postgres',
	q{select gov_upsert_entity_types('[{"id": "agent", "attributionKeys": ["agent"]}, {"id": "model", "attributionKeys": ["model"]},
	      {"id": "org"}, {"id": "dept"}, {"id": "team"}, {"id": "user"}]');
	  select gov_upsert_capabilities('[{"id": "ai-tokens", "kind": "credit"}]');}
	  . "insert into gov_entities (owner_id, id, type_id, parent_id) values\n"
	  . join(",\n",
		map { my ($type) = /^([a-z]+)/; "('acme', '$_', '$type', " . (defined $parent{$_} ? "'$parent{$_}'" : 'null') . ')' }
		  @ids)
	  . ";\n"
	  # what never resets counts everything; a month counts in the month in which it was used
	  . q{insert into gov_assignments (owner_id, entity_id, capability_id, name, cadence)
	      select 'acme', id, 'ai-tokens', name, nullif(name, 'ever') from gov_entities, unnest('{ever,P1M}'::text[]) as name});

# The independent sum, and the calls, in one pass over the file.
my (%total, %hourly, @calls, @batch);
my $events = 0;
my $sum = 0;

sub flush_batch
{
	push @calls, "select * from gov_ingest_many('acme', '[" . join(",\n", @batch) . "]') where error is not null or is_duplicate;"
	  if @batch;
	@batch = ();
	return;
}

open my $file, '<', $trace or die "cannot read $trace: $!";
my $heading = <$file>;
like($heading, qr/^TIMESTAMP,ContextTokens,GeneratedTokens/, 'the file is the trace');
while (my $line = <$file>)
{
	$line =~ /^((\S+ \d\d):\S+),(\d+),(\d+)/ or die "line $.: $line";
	my ($at, $hour, $tokens) = ($1, $2, $3 + $4);
	my ($agent, $model) = ('agent-' . $. * 7 % AGENTS, 'model-' . $. % 3);

	for (my $id = $agent; defined $id; $id = $parent{$id})
	{
		$total{$id} += $tokens;
		$hourly{"$id $hour"} += $tokens;
	}
	$total{$model} += $tokens;
	$hourly{"$model $hour"} += $tokens;
	$events++;
	$sum += $tokens;

	push @batch, qq({"capabilityId": "ai-tokens", "amount": $tokens, "idempotencyKey": "req-$.",)
	  . qq( "dimensions": {"agent": "$agent", "model": "$model"}, "occurredAt": "${at}Z"});
	flush_batch() if @batch == BATCH;
}
close $file;
flush_batch();

is($node->safe_psql('postgres', join("\n", @calls)), '', "all $events events are recorded");

my $expected_totals = join "\n", map { "$_ $total{$_}" } sort keys %total;
my $expected_hours = join "\n", map { "$_ $hourly{$_}" } sort keys %hourly;

my $live = qq{
	select entity_id || ' ' || trim_scale(current_usage)
	from (select distinct entity_id, current_usage
	      from gov_headroom('acme', 'ai-tokens', 0, null, '{@{[ join ',', @ids ]}}') where name = 'ever') as budget
	order by entity_id collate "C"};

is($node->safe_psql('postgres', $live), $expected_totals,
	'live usage of every entity equals the sum of the file');

gov_roll_up($node, 'postgres');

is($node->safe_psql('postgres', $live), $expected_totals, 'and after the rollup');
is( $node->safe_psql('postgres',
		q{select a.entity_id || ' ' || trim_scale(u.amount)
		  from gov_usage u join gov_assignments a on a.id = u.assignment_id
		  where a.name = 'P1M' and u.window_start = '2023-11-01 00:00Z' and u.window_end = '2023-12-01 00:00Z'
		  order by a.entity_id collate "C"}),
	$expected_totals,
	'the month of the trace has it in its history');
is( $node->safe_psql('postgres',
		q{select entity_id || ' ' || to_char(hour at time zone 'UTC', 'YYYY-MM-DD HH24') || ' ' || trim_scale(amount)
		  from gov_usage_hourly where owner_id = 'acme' order by entity_id collate "C", hour}),
	$expected_hours,
	'hourly attribution equals the sums by hour');
is($node->safe_psql('postgres', 'select count(*), trim_scale(sum(amount)) from gov_events'),
	"$events|$sum", 'the ledger has every event once');

# the same hour again: every key is known
is( $node->safe_psql('postgres',
		$calls[0] =~ s/select \*/select count(*)/r =~ s/where.*$/where is_duplicate and error is null;/r),
	BATCH,
	'repeating a batch is harmless');

# and what a restart loads is what was there
$node->restart;
is($node->safe_psql('postgres', $live), $expected_totals, 'a cold cache loads the same');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

$node->stop;
done_testing();
