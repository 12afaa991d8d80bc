/* ---------------------------------------------------------------------------------------------------------------- */
/* Alerts (src/rollup/alert.c raises them)                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_set_alert_policy(owner_id text, thresholds numeric[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    broken text;
    failing_row text;
begin
    if gov_set_alert_policy.owner_id is null then
        perform @extschema@._gov_require_unpinned('gov_set_alert_policy() for every owner');
    else
        perform @extschema@._gov_require_owner(gov_set_alert_policy.owner_id);
    end if;
    perform @extschema@._gov_require_list('thresholds', array_ndims(gov_set_alert_policy.thresholds));
    if array_position(gov_set_alert_policy.thresholds, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "thresholds" must not contain null',
            hint = 'Write it like ''{80,100,120}''; {} for no alerts.';
    end if;

    if gov_set_alert_policy.thresholds is null then
        delete from @extschema@.gov_alert_policies p
        where p.owner_id is not distinct from gov_set_alert_policy.owner_id;
        return;
    end if;
    insert into @extschema@.gov_alert_policies as p (owner_id, thresholds)
    values (gov_set_alert_policy.owner_id, gov_set_alert_policy.thresholds)
    on conflict (owner_id) do update
    set thresholds = excluded.thresholds
    where p.thresholds <> excluded.thresholds;
exception
    when check_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_alert_policies'::regclass, broken, failing_row);
        raise;
end
$$;

comment on function @extschema@.gov_set_alert_policy(text, numeric[]) is
$$Sets the alert thresholds of an owner's budgets that have none of their own. In force when the transaction commits.

owner_id: one of the vendor's customers; null: every owner that has no policy
thresholds: at most 10 percentages of 1 or more of a budget's limit, in any order; {}: no alerts; null: no policy, so that the
    default of every owner is in force again
errors: GV003 the owner is frozen; 22004 a null threshold; 22023 more than 10, one below 1 or of more than 18 digits, an array of two dimensions, malformed
    owner_id; 42501 an owner that the session may not change, and every owner in a session pinned to one; 54000 more than
    a tenant may set$$;

