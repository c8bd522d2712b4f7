with recursive arms as (
    select
        plan,
        seed,
        min(score_id) as score_id,
        min_by(document_id, score_id) as scored_document_id
    from {{ ref('stg_scores') }}
    group by plan, seed
),

ancestors as (
    select
        arms.plan,
        arms.seed,
        lineage.parent_id as row_id
    from arms
    inner join {{ ref('lineage') }} as lineage
        on arms.score_id = lineage.child_id and arms.scored_document_id <> lineage.parent_id
    union
    select
        ancestors.plan,
        ancestors.seed,
        lineage.parent_id as row_id
    from ancestors
    inner join {{ ref('lineage') }} as lineage on ancestors.row_id = lineage.child_id
)

select
    arms.plan,
    arms.seed
from arms
left join ancestors on arms.plan = ancestors.plan and arms.seed = ancestors.seed
left join {{ ref('stg_documents') }} as documents on ancestors.row_id = documents.document_id
group by arms.plan, arms.seed
having count(documents.document_id) = 0
